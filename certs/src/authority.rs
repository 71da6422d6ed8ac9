//! A certificate authority in memory.

use std::fmt;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, PublicKeyData, RevokedCertParams,
};
use thiserror::Error;
use time::OffsetDateTime;

use crate::read::{self, Certificate, ReadError};
use crate::validity::CLOCK_SKEW;
use crate::{LeafSpec, Validity};

/// Why a certificate could not be made.
#[derive(Debug, Error)]
pub enum CertError {
    /// A name has characters that X.509 does not allow there.
    #[error("{name:?} cannot be an alternative name")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The subject has more organizations than can be written.
    #[error("a subject holds two organizations at most, not {0}")]
    TooManyOrganizations(usize),
    /// The authority's certificate cannot be read.
    #[error("the authority's certificate cannot be read")]
    Certificate(#[from] ReadError),
    /// The authority's key cannot be read.
    #[error("the authority's key cannot be read")]
    Key(#[source] rcgen::Error),
    /// The authority's key belongs to another certificate.
    #[error("the authority's key belongs to another certificate")]
    KeyMismatch,
    /// The certificate may not sign others.
    #[error("the certificate is no authority's")]
    NotAnAuthority,
    /// The system gave no randomness.
    #[error("no randomness for a serial number")]
    Randomness,
    /// Signing failed.
    #[error("cannot sign")]
    Sign(#[from] rcgen::Error),
}

/// A certificate's serial number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// A serial number from its big-endian bytes. Leading zeros do not count.
    pub fn new(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes.get(zeros..).unwrap_or_default().to_vec())
    }

    /// The big-endian bytes, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// 128 bits, 126 of them random: positive, and always of the same length.
    fn random() -> Result<Self, CertError> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CertError::Randomness)?;
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Ok(Self(bytes.to_vec()))
    }
}

impl fmt::Display for Serial {
    /// Lower-case hexadecimal, as scalegate writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, one PEM block.
    pub cert_pem: String,
    /// The key, PKCS #8 in one PEM block.
    pub key_pem: String,
    /// The certificate's serial number.
    pub serial: Serial,
}

/// An authority that signs certificates and revocation lists. All keys are P-256.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    cert_pem: String,
}

impl CertificateAuthority {
    /// A new authority with a new key, its certificate signed by itself.
    pub fn new(name: &str, validity: Validity) -> Result<Self, CertError> {
        let key = KeyPair::generate()?;
        let spec = LeafSpec::client(name).purposes([]).authority().validity(validity);
        let certificate = spec.params(&Serial::random()?)?.self_signed(&key)?;
        Self::load(&certificate.pem(), &key.serialize_pem())
    }

    /// The authority of a certificate and its key, both PEM.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, CertError> {
        let certificate = Certificate::from_pem(cert_pem)?;
        let key = KeyPair::from_pem(key_pem).map_err(CertError::Key)?;
        if !certificate.profile.is_ca {
            return Err(CertError::NotAnAuthority);
        }
        if certificate.public_key != key.subject_public_key_info() {
            return Err(CertError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_pem(cert_pem, key)?;
        Ok(Self { issuer, certificate, cert_pem: cert_pem.to_owned() })
    }

    /// The authority's certificate, PEM.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's key, PKCS #8 as PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When the authority's certificate holds.
    pub fn validity(&self) -> Validity {
        self.certificate.validity
    }

    /// Issues a certificate with a new key and a random serial number.
    pub fn issue(&self, spec: &LeafSpec) -> Result<Issued, CertError> {
        let key = KeyPair::generate()?;
        let serial = Serial::random()?;
        let params: CertificateParams = spec.params(&serial)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { cert_pem: certificate.pem(), key_pem: key.serialize_pem(), serial })
    }

    /// A revocation list, PEM, of the certificates with these serial numbers. It holds from [`CLOCK_SKEW`] ago until
    /// `next_update`, which may lie in the past. Its number is the time in seconds.
    pub fn crl(&self, revoked: &[Serial], next_update: impl Into<OffsetDateTime>) -> Result<String, CertError> {
        let now = OffsetDateTime::now_utc();
        let next_update = next_update.into();
        let this_update = (now - CLOCK_SKEW).min(next_update - CLOCK_SKEW);
        let list = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: now.unix_timestamp().unsigned_abs().into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(|serial| entry(serial, this_update)).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// Whether this authority signed the certificate.
    pub fn signed(&self, certificate: &Certificate) -> bool {
        read::is_signed_by(certificate, &self.certificate)
    }

    /// Whether this authority signed the revocation list.
    pub fn signed_crl(&self, crl: &read::Crl) -> bool {
        read::is_crl_signed_by(crl, &self.certificate)
    }
}

fn entry(serial: &Serial, at: OffsetDateTime) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: serial.as_bytes().to_vec().into(),
        revocation_time: at,
        reason_code: None,
        invalidity_date: None,
    }
}
