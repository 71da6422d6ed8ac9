//! Reads PEM files, with errors that name the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;

/// The largest file that is read: a revocation list of some 200,000 certificates.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

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
    /// A PEM section is broken.
    #[error("{}: is no valid PEM: {cause}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// There is nothing of the kind in the file.
    #[error("{}: holds no {kind}", file.display())]
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
    #[error("{}: holds more than one private key", .0.display())]
    ManyKeys(PathBuf),
}

/// The certificates in `file`, one at least.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    sections(file, &read(file)?, "certificate (BEGIN CERTIFICATE)")
}

/// The revocation lists in `file`, one at least.
pub(super) fn revocation_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    sections(file, &read(file)?, "revocation list (BEGIN X509 CRL)")
}

/// The one private key in `file`.
pub(crate) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let pem = read(file)?;
    let text = String::from_utf8_lossy(&pem);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::Encrypted(file.to_owned()));
    }
    let mut keys = sections::<PrivateKeyDer<'static>>(file, &pem, "private key (BEGIN PRIVATE KEY)")?;
    match keys.pop() {
        Some(key) if keys.is_empty() => Ok(key),
        _ => Err(PemError::ManyKeys(file.to_owned())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, PemError> {
    let unreadable = |cause| PemError::Unreadable { file: file.to_owned(), cause };
    let mut pem = Vec::new();
    File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut pem)).map_err(unreadable)?;
    if pem.len() as u64 > MAX_BYTES { Err(PemError::Large(file.to_owned())) } else { Ok(pem) }
}

fn sections<T: PemObject>(file: &Path, pem: &[u8], kind: &'static str) -> Result<Vec<T>, PemError> {
    let invalid = |cause: pem::Error| PemError::Invalid { file: file.to_owned(), cause: cause.to_string() };
    let items = T::pem_slice_iter(pem).collect::<Result<Vec<T>, _>>().map_err(invalid)?;
    if items.is_empty() { Err(PemError::Empty { file: file.to_owned(), kind }) } else { Ok(items) }
}
