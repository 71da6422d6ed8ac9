//! From certificate files to what a TLS server needs.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::{Error, ServerConfig};
use thiserror::Error;

use super::authorities::Authorities;
use super::pem::{self, PemError};
use crate::config;
use crate::identity::{self, ClientIdentity, IdentityError};

/// Why certificates and keys cannot be used. Each error names its file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is no usable PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A client CA cannot be used.
    #[error("{}: cannot be a client CA: {cause}", file.display())]
    Ca {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// A revocation list cannot be used.
    #[error("{}: is no valid revocation list: {cause}", file.display())]
    RevocationList {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
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

/// What a connection needs to speak TLS: one loaded state of all files. Clones share it.
#[derive(Debug, Clone)]
pub struct Tls {
    server: Arc<ServerConfig>,
    authorities: Arc<Authorities>,
    expiry: Expiry,
}

impl Tls {
    /// Reads the files that `settings` names.
    pub fn load(settings: &config::Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(provider());
        let authorities = Arc::new(Authorities::load(settings, &provider)?);
        let chain = pem::certificates(&settings.certificate)?;
        let expiry = Expiry {
            server: server_not_after(settings, &chain)?,
            client_ca: authorities.not_after,
            revocation_list: authorities.next_update,
        };
        let server = server_config(settings, chain, &authorities, provider)?;
        Ok(Self { server: Arc::new(server), authorities, expiry })
    }

    /// When certificates and lists end.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// Whom a chain that the handshake verified names.
    pub(super) fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<ClientIdentity, IdentityError> {
        self.authorities.identify(chain)
    }
}

/// The algorithms that are spoken. The hybrid exchange is first: what is recorded today stays secret from tomorrow's
/// quantum computers.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

fn server_config(
    settings: &config::Tls,
    chain: Vec<CertificateDer<'static>>,
    authorities: &Arc<Authorities>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let key = pem::private_key(&settings.key)?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(settings, &error))?
        .with_client_cert_verifier(authorities.clone())
        .with_single_cert(chain, key)
        .map_err(|error| unusable(settings, &error))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would skip the client's certificate: expired and revoked ones would live on in it.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;
    Ok(server)
}

fn server_not_after(settings: &config::Tls, chain: &[CertificateDer<'_>]) -> Result<Timestamp, TlsError> {
    let own = chain.first().map(identity::not_after);
    let not_after = own.transpose().map_err(|error| unusable(settings, &error))?.unwrap_or(Timestamp::MAX);
    if not_after < Timestamp::now() {
        let file = settings.certificate.display();
        tracing::warn!(%file, %not_after, "the server's certificate has expired: clients will refuse it");
    }
    Ok(not_after)
}

fn unusable(settings: &config::Tls, error: &(impl std::error::Error + 'static)) -> TlsError {
    let (certificate, key) = (settings.certificate.clone(), settings.key.clone());
    match (error as &dyn std::error::Error).downcast_ref::<Error>() {
        Some(Error::InconsistentKeys(_)) => TlsError::Mismatch { certificate, key },
        _ => TlsError::Server { certificate, key, cause: error.to_string() },
    }
}
