//! Reads PEM files: every block that is in them, or an error that names the file and the place.

mod blocks;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;

use crate::identity::der;

pub use blocks::PemFault;

/// The largest file that is read: a revocation list of some 200,000 certificates.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// What some editors put before text: U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a PEM file cannot be used.
#[derive(Debug, Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is too large.
    #[error("{}: is larger than {MAX_BYTES} bytes", .0.display())]
    Large(PathBuf),
    /// It is not clear where blocks begin and end.
    #[error("{}: is not valid PEM: line {line}: {fault}", file.display())]
    Fault {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: PemFault,
    },
    /// A block is of another kind than the file is for.
    #[error("{place}: is a `{label}` block, but this file may only contain {wanted}")]
    BlockKind {
        /// Which block.
        place: Place,
        /// What it is.
        label: String,
        /// What the file is for.
        wanted: &'static str,
    },
    /// A block's content is not base64.
    #[error("{place}: is not valid PEM: {cause}")]
    Content {
        /// Which block.
        place: Place,
        /// Why.
        cause: String,
    },
    /// A block's content is no certificate.
    #[error("{place}: is not a valid certificate: {cause}")]
    Certificate {
        /// Which block, and its subject where that can be read.
        place: Place,
        /// Why.
        cause: String,
    },
    /// There is nothing of the kind in the file.
    #[error("{}: contains no {kind}", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
        /// What was looked for.
        kind: &'static str,
    },
    /// The key needs a passphrase.
    #[error("{}: the private key is encrypted: store it without a passphrase, in a Secret or with mode 0600", .0.display())]
    Encrypted(PathBuf),
    /// The file has several keys.
    #[error("{}: contains more than one private key", .0.display())]
    ManyKeys(PathBuf),
}

/// Where something is: in which block of which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: PathBuf,
    /// From 1.
    block: usize,
    /// That of its BEGIN, from 1.
    line: usize,
    /// The subject or issuer, for error messages.
    name: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, block, line, name } = self;
        write!(f, "{}: block {block} (line {line}", file.display())?;
        name.iter().try_for_each(|name| write!(f, ", {name}"))?;
        f.write_str(")")
    }
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) place: Place,
    pub(crate) item: T,
}

/// The certificates in `file`, one at least, each of which can be read.
pub(crate) fn certificates(file: &Path) -> Result<Vec<Located<CertificateDer<'static>>>, PemError> {
    let certificates = CERTIFICATES.all(file, &read(file)?, |item: &CertificateDer<'_>| der::subject(item))?;
    for Located { place, item } in &certificates {
        der::certificate(item).map_err(|cause| PemError::Certificate { place: place.clone(), cause })?;
    }
    Ok(certificates)
}

/// The revocation lists in `file`, one at least.
pub(crate) fn revocation_lists(file: &Path) -> Result<Vec<Located<CertificateRevocationListDer<'static>>>, PemError> {
    LISTS.all(file, &read(file)?, |item: &CertificateRevocationListDer<'_>| der::list_issuer(item))
}

/// The one private key in `file`.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let pem = read(file)?;
    let text = String::from_utf8_lossy(&pem);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::Encrypted(file.to_owned()));
    }
    let mut keys = KEYS.all(file, &pem, |_: &PrivateKeyDer<'_>| None)?;
    match keys.pop() {
        Some(key) if keys.is_empty() => Ok(key.item),
        _ => Err(PemError::ManyKeys(file.to_owned())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, PemError> {
    let unreadable = |cause| PemError::Unreadable { file: file.to_owned(), cause };
    let mut pem = Vec::new();
    // Opening a pipe would block on its writer.
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut pem)).map_err(unreadable)?;
    if pem.len() as u64 > MAX_BYTES { Err(PemError::Large(file.to_owned())) } else { Ok(pem) }
}

/// What a file is read for.
struct BlockKind {
    labels: &'static [&'static str],
    /// What may come before the first of them.
    before: &'static [&'static str],
    wanted: &'static str,
    missing: &'static str,
}

const CERTIFICATES: BlockKind = BlockKind {
    labels: &["CERTIFICATE"],
    before: &[],
    wanted: "certificates (CERTIFICATE)",
    missing: "certificate (BEGIN CERTIFICATE)",
};

const LISTS: BlockKind = BlockKind {
    labels: &["X509 CRL"],
    before: &[],
    wanted: "revocation lists (X509 CRL)",
    missing: "revocation list (BEGIN X509 CRL)",
};

const KEYS: BlockKind = BlockKind {
    labels: &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"],
    // The name of the curve, which OpenSSL writes there and the key holds as well.
    before: &["EC PARAMETERS"],
    wanted: "a private key (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)",
    missing: "private key (BEGIN PRIVATE KEY)",
};

impl BlockKind {
    /// All blocks of the file, with the names that `name` finds in them.
    fn all<T: PemObject>(
        &self,
        file: &Path,
        pem: &[u8],
        name: fn(&T) -> Option<String>,
    ) -> Result<Vec<Located<T>>, PemError> {
        let fault = |(line, fault)| PemError::Fault { file: file.to_owned(), line, fault };
        let pem = pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(pem);
        let mut items = Vec::new();
        for (index, block) in blocks::blocks(pem).map_err(fault)?.into_iter().enumerate() {
            let mut place = Place { file: file.to_owned(), block: index + 1, line: block.line, name: None };
            if items.is_empty() && self.before.contains(&block.label) {
                continue;
            }
            if !self.labels.contains(&block.label) {
                return Err(PemError::BlockKind { place, label: block.label.to_owned(), wanted: self.wanted });
            }
            match T::from_pem_slice(block.text) {
                Ok(item) => {
                    place.name = name(&item);
                    items.push(Located { place, item });
                }
                Err(error) => {
                    let wrong = block.no_base64().map(|(line, byte)| format!("line {line}: {byte:?} is not base64"));
                    return Err(PemError::Content { place, cause: wrong.unwrap_or_else(|| error.to_string()) });
                }
            }
        }
        if items.is_empty() { Err(PemError::Empty { file: file.to_owned(), kind: self.missing }) } else { Ok(items) }
    }
}
