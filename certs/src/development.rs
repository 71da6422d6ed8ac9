//! The set of files that `make certs` keeps fresh.
//!
//! A run leaves what is good as it is, byte for byte, and makes the rest. Two runs at once take turns; a run that was
//! interrupted is completed by the next. Only an authority that is there but cannot be used is never replaced unasked:
//! whatever trusts it would then trust nothing.

mod members;
mod state;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use time::OffsetDateTime;

use crate::files::{self, FileError, Secrecy};
use crate::read::{Certificate, ReadError};
use crate::{CertError, CertificateAuthority, LeafSpec, Serial, Validity};

use members::{CLIENTS, Kind};
use state::Rules;
pub use state::State;

/// How long an authority's certificate holds, in days.
pub const AUTHORITY_DAYS: u32 = 365;
/// How long a revocation list holds, in days.
pub const CRL_DAYS: u32 = 30;

/// What a set is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory.
    pub out: PathBuf,
    /// The trust domain of the clients' SPIFFE ids.
    pub trust_domain: String,
    /// More names and IP addresses of the server.
    pub server_sans: Vec<String>,
    /// What has less than this part of its life left, in percent, is made anew.
    pub renew_percent: u8,
    /// Whether all is made anew.
    pub force: bool,
}

impl Options {
    /// The usual set in a directory: trust domain `scalegate.test`, renewed when a third of its life is left.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let trust_domain = "scalegate.test".to_owned();
        Self { out: out.into(), trust_domain, server_sans: Vec::new(), renew_percent: 33, force: false }
    }
}

/// A file of the set, after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path within the directory.
    pub file: String,
    /// What became of it.
    pub state: State,
    /// When it ends.
    pub until: OffsetDateTime,
    /// What it is for.
    pub note: &'static str,
}

/// Why a set could not be made.
#[derive(Debug, Error)]
pub enum DevelopmentError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another run could not be waited for.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// An authority's files are there but cannot be used.
    #[error(
        "{} cannot be used, and is not replaced unasked since whoever trusts it would have to trust another \
         (--force makes everything anew)",
        path.display()
    )]
    Authority {
        /// The authority's certificate.
        path: PathBuf,
        /// What is wrong with it.
        source: CertError,
    },
    /// An authority's certificate is there without its key.
    #[error("{} is missing, so nothing can be signed (--force makes everything anew)", path.display())]
    AuthorityKey {
        /// The authority's key.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make {file}")]
    Make {
        /// The file.
        file: String,
        /// What went wrong.
        source: CertError,
    },
    /// A file was changed by someone else during the run.
    #[error("{file} changed meanwhile")]
    Changed {
        /// The file.
        file: String,
        /// What was found.
        source: ReadError,
    },
}

/// Makes a set complete and fresh. The entries come in the order in which they were looked at.
pub fn refresh(options: &Options) -> Result<Vec<Entry>, DevelopmentError> {
    let _lock = lock(&options.out)?;
    let rules = Rules { now: OffsetDateTime::now_utc(), renew_percent: options.renew_percent, force: options.force };
    let mut set = Set { out: &options.out, rules, entries: Vec::new() };
    set.make(options)?;
    Ok(set.entries)
}

/// Waits for other runs, and cleans up after those that were interrupted. The lock ends with the file's handle.
fn lock(out: &Path) -> Result<File, DevelopmentError> {
    let clients = out.join("clients");
    fs::create_dir_all(&clients).map_err(|source| FileError { path: clients.clone(), source })?;
    let path = out.join(".lock");
    let open = File::options().create(true).append(true).open(&path);
    let lock = open.and_then(|file| file.lock().map(|()| file));
    let lock = lock.map_err(|source| DevelopmentError::Lock { path, source })?;
    files::sweep(out)?;
    files::sweep(&clients)?;
    Ok(lock)
}

struct Set<'a> {
    out: &'a Path,
    rules: Rules,
    entries: Vec<Entry>,
}

impl Set<'_> {
    fn make(&mut self, options: &Options) -> Result<(), DevelopmentError> {
        let ours = self.authority("ca", "scalegate development CA", "signs what follows; the gateway trusts it")?;
        let other = self.authority("other-ca", "another CA", "signs clients/other-ca.pem; nobody trusts it")?;
        self.leaf("server", &members::server(&options.server_sans), &ours, "the gateway's own")?;
        for client in &CLIENTS {
            let authority = if client.kind == Kind::OtherCa { &other } else { &ours };
            let name = format!("clients/{}", client.name);
            let serial = self.leaf(&name, &client.spec(&options.trust_domain), authority, client.note)?;
            if client.kind == Kind::Revoked {
                self.crl(&serial, &ours)?;
            }
        }
        Ok(())
    }

    fn authority(
        &mut self,
        name: &str,
        subject: &str,
        note: &'static str,
    ) -> Result<CertificateAuthority, DevelopmentError> {
        let file = format!("{name}.pem");
        let (loaded, state) = match self.load_authority(name)? {
            Some(authority) => {
                let state = self.rules.by_age(&authority.validity());
                (Some(authority), state)
            }
            None => (None, if self.rules.force { State::Forced } else { State::Missing }),
        };
        let authority = match loaded {
            Some(authority) if state == State::Kept => authority,
            _ => {
                let made = CertificateAuthority::new(subject, Validity::days(AUTHORITY_DAYS))
                    .map_err(|source| DevelopmentError::Make { file: file.clone(), source })?;
                self.write_pair(name, made.cert_pem(), &made.key_pem())?;
                made
            }
        };
        self.entries.push(Entry { file, state, until: authority.validity().not_after, note });
        Ok(authority)
    }

    /// The authority that is there. A key alone is what an interrupted run leaves, since keys are written first.
    fn load_authority(&self, name: &str) -> Result<Option<CertificateAuthority>, DevelopmentError> {
        let (cert_path, key_path) = self.pair(name);
        let Some(cert) = files::read(&cert_path)? else { return Ok(None) };
        if self.rules.force {
            return Ok(None);
        }
        let Some(key) = files::read(&key_path)? else {
            return Err(DevelopmentError::AuthorityKey { path: key_path });
        };
        files::keep_private(&key_path)?;
        match CertificateAuthority::load(&cert, &key) {
            Ok(authority) => Ok(Some(authority)),
            Err(source) => Err(DevelopmentError::Authority { path: cert_path, source }),
        }
    }

    /// Keeps or makes a certificate and its key; gives its serial number.
    fn leaf(
        &mut self,
        name: &str,
        spec: &LeafSpec,
        authority: &CertificateAuthority,
        note: &'static str,
    ) -> Result<Serial, DevelopmentError> {
        let file = format!("{name}.pem");
        let (cert_path, key_path) = self.pair(name);
        let (mut cert, key) = (files::read(&cert_path)?, files::read(&key_path)?);
        let state = self.rules.of_pair(cert.as_deref(), key.as_deref(), spec, authority);
        if state == State::Kept {
            files::keep_private(&key_path)?;
        } else {
            let spec = spec.clone().validity(spec.validity.until_at_most(authority.validity().not_after));
            let issued =
                authority.issue(&spec).map_err(|source| DevelopmentError::Make { file: file.clone(), source })?;
            self.write_pair(name, &issued.cert_pem, &issued.key_pem)?;
            cert = Some(issued.cert_pem);
        }
        let cert = Certificate::from_pem(cert.as_deref().unwrap_or_default())
            .map_err(|source| DevelopmentError::Changed { file: file.clone(), source })?;
        self.entries.push(Entry { file, state, until: cert.validity.not_after, note });
        Ok(cert.serial)
    }

    /// Keeps or makes the revocation list. What it has revoked stays revoked: copies may be about.
    fn crl(&mut self, serial: &Serial, authority: &CertificateAuthority) -> Result<(), DevelopmentError> {
        let file = "crl.pem".to_owned();
        let path = self.out.join(&file);
        let crl = files::read(&path)?;
        let (state, mut revoked) = self.rules.of_crl(crl.as_deref(), serial, authority);
        let mut text = crl.unwrap_or_default();
        if state != State::Kept {
            revoked.push(serial.clone());
            revoked.sort();
            revoked.dedup();
            text = authority
                .crl(&revoked, Validity::days(CRL_DAYS).not_after)
                .map_err(|source| DevelopmentError::Make { file: file.clone(), source })?;
            files::write(&path, &text, Secrecy::Public)?;
        }
        let crl = crate::read::Crl::from_pem(&text)
            .map_err(|source| DevelopmentError::Changed { file: file.clone(), source })?;
        let note = "revokes clients/revoked.pem";
        self.entries.push(Entry { file, state, until: crl.validity.not_after, note });
        Ok(())
    }

    fn pair(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.out.join(format!("{name}.pem")), self.out.join(format!("{name}-key.pem")))
    }

    /// The key first: a certificate without its key could be taken for a whole pair by who reads it alone.
    fn write_pair(&self, name: &str, cert: &str, key: &str) -> Result<(), FileError> {
        let (cert_path, key_path) = self.pair(name);
        files::write(&key_path, key, Secrecy::Private)?;
        files::write(&cert_path, cert, Secrecy::Public)
    }
}
