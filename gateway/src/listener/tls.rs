//! From certificate files to what a TLS server needs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ::aws_lc_rs::digest::{self, SHA256};
use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{Error, ServerConfig};
use thiserror::Error;

use super::authorities::{Authorities, AuthoritiesError, algorithms};
use crate::config;
use crate::identity::{Validity, der};
use crate::pem::{self, Located, PemError};

/// Why certificates and keys cannot be used. Each error names its file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is no usable PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A client CA or a revocation list cannot be used.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// Certificate and key are of different pairs.
    #[error("{} does not hold the private key of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The server's certificate or key cannot be used.
    #[error("{} and {}: cannot be the server's certificate and key: {cause}", certificate.display(), key.display())]
    Server {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        cause: String,
    },
}

/// When what was loaded ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The server's certificate.
    pub server: Timestamp,
    /// The first of the client CAs' certificates.
    pub client_ca: Timestamp,
    /// The first `nextUpdate` of a revocation list.
    pub revocation_list: Option<Timestamp>,
}

/// A secret that all gateways with the same server key share.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// Its bytes, which have the entropy of the private key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

/// The server's certificate, as far as it must be known to judge another that would take its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) file: PathBuf,
    pub(super) validity: Validity,
    chain: Vec<Located<CertificateDer<'static>>>,
}

/// What a connection needs to speak TLS: one loaded state of all files.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    secret: SharedSecret,
    pub(super) server: Server,
    pub(super) authorities: Arc<Authorities>,
}

impl Tls {
    /// Reads the files that `settings` names.
    pub fn load(settings: &config::Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let authorities = Arc::new(Authorities::load(settings, &provider)?);
        let server = Server::read(settings)?;
        let key = pem::private_key(&settings.key)?;
        let secret = secret(&key);
        let chain = server.chain.iter().map(|certificate| certificate.item.clone()).collect();
        let config = server_config(settings, chain, key, &authorities, provider)?;
        Ok(Self { config: Arc::new(config), secret, server, authorities })
    }

    /// When certificates and lists end.
    pub fn expiry(&self) -> Expiry {
        Expiry {
            server: self.server.validity.not_after,
            client_ca: self.authorities.not_after,
            revocation_list: self.authorities.next_update,
        }
    }

    /// Logs what a person should know of it, though it can be used.
    pub(super) fn warn(&self) {
        let Server { file, validity: Validity { not_before, not_after }, .. } = &self.server;
        if !self.server.holds(Timestamp::now()) {
            let file = file.display();
            tracing::warn!(%file, %not_before, %not_after, "the server's certificate does not hold now: clients will refuse it");
        }
        for warning in self.server.warnings(Timestamp::now()).iter().chain(&self.authorities.warnings) {
            tracing::warn!("{warning}");
        }
    }

    /// What the server's private key makes for other uses than TLS.
    pub fn secret(&self) -> &SharedSecret {
        &self.secret
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Whether both were loaded from the same certificates, keys and lists.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let digests = self.authorities.digest == other.authorities.digest;
        digests && self.server == other.server && self.secret == other.secret
    }
}

/// The algorithms that are spoken. Of the groups, the client's first choice is taken. With the hybrid one, what is recorded
/// today stays secret from tomorrow's quantum computers; P-384 is for clients that have no other.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        signature_verification_algorithms: algorithms(),
        ..aws_lc_rs::default_provider()
    }
}

fn server_config(
    settings: &config::Tls,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: &Arc<Authorities>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refused(settings, &error))?
        .with_client_cert_verifier(authorities.clone())
        .with_single_cert(chain, key)
        .map_err(|error| refused(settings, &error))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would skip the client's certificate: expired and revoked ones would live on in it.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;
    Ok(server)
}

impl Server {
    fn read(settings: &config::Tls) -> Result<Self, TlsError> {
        let chain = pem::certificates(&settings.certificate)?;
        let validity = match chain.first() {
            Some(own) => Validity::of(&der::certificate(&own.item).map_err(|cause| unusable(settings, cause))?),
            None => Validity::ALWAYS,
        };
        Ok(Self { file: settings.certificate.clone(), validity, chain })
    }

    /// Warnings about the certificates above its own that are outside their validity at `now`. Only warnings: a file may
    /// have an old cross-signed certificate that no client needs.
    pub(super) fn warnings(&self, now: Timestamp) -> Vec<String> {
        let above = self.chain.iter().skip(1);
        let warning = |Located { place, item }: &Located<CertificateDer<'_>>| {
            let when = Validity::of(&der::certificate(item).ok()?).outside(now)?;
            Some(format!("{place}: the certificate {when}: clients that need it will refuse the server's"))
        };
        above.filter_map(warning).collect()
    }

    /// Whether clients accept its time.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.validity.contains(now)
    }
}

fn secret(key: &PrivateKeyDer<'_>) -> SharedSecret {
    let mut secret = [0; 32];
    secret.copy_from_slice(digest::digest(&SHA256, key.secret_der()).as_ref());
    SharedSecret(secret)
}

fn refused(settings: &config::Tls, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => {
            TlsError::Mismatch { certificate: settings.certificate.clone(), key: settings.key.clone() }
        }
        _ => unusable(settings, error.to_string()),
    }
}

fn unusable(settings: &config::Tls, cause: String) -> TlsError {
    TlsError::Server { certificate: settings.certificate.clone(), key: settings.key.clone(), cause }
}
