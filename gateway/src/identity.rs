//! Who asks: the identity that a verified client certificate carries.
//!
//! The TLS handshake proves that a trusted CA signed the certificate; this module decides which single name it means.
//! Whatever could be read in two ways is refused rather than guessed.

pub(crate) mod der;
pub(crate) mod names;
pub mod spiffe;
pub(crate) mod text;
mod validity;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use x509_parser::certificate::X509Certificate;

use crate::hex;

pub use spiffe::{InvalidSpiffeId, InvalidTrustDomain, TrustDomain};
pub use text::InvalidText;
pub(crate) use validity::{Validity, instant};

/// The most groups that a certificate may carry.
const MAX_GROUPS: usize = 64;
/// The longest serial number, RFC 5280 section 4.1.2.2.
const MAX_SERIAL_BYTES: usize = 20;

/// A typed client id: `uri:spiffe://…`, `dns:…` or `cn:…`.
///
/// The type prefix keeps a DNS name from ever being mistaken for a common name in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// The id with its type prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A form of client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdForm {
    /// `uri:spiffe://…`.
    Uri,
    /// `dns:…`.
    Dns,
    /// `cn:…`.
    Cn,
}

impl IdForm {
    /// The form's name, which is the prefix of its ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Cn => "cn",
        }
    }
}

/// What one CA may vouch for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Voucher {
    /// The only trust domain that it speaks for.
    pub trust_domain: TrustDomain,
    /// The forms of ids that it may issue.
    pub forms: BTreeSet<IdForm>,
}

/// Why a certificate that the TLS handshake accepted names nobody. The text is for the certificate's owner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The certificate cannot be read.
    #[error("the certificate is malformed ({0}): have it issued again")]
    Malformed(String),
    /// The extended key usage does not name client authentication.
    #[error(
        "the certificate's extended key usage does not contain clientAuth: have it issued again as a client certificate"
    )]
    NotForClients,
    /// Two URI subject alternative names or more.
    #[error(
        "the certificate has {0} URI subject alternative names, so it is not clear whom it names: it must have exactly one, a SPIFFE id"
    )]
    ManyUris(usize),
    /// The URI is no SPIFFE id.
    #[error("the certificate's URI subject alternative name {uri} is not a SPIFFE id: {cause}")]
    NotSpiffe {
        /// The URI, escaped and cut.
        uri: String,
        /// The rule that it breaks.
        cause: InvalidSpiffeId,
    },
    /// The SPIFFE id belongs to a trust domain that the signing CA does not speak for.
    #[error("the certificate's SPIFFE id is in trust domain {found}, but its CA may only issue for {}", list(allowed))]
    ForeignTrustDomain {
        /// The id's trust domain.
        found: TrustDomain,
        /// The trust domains of the CA.
        allowed: Vec<TrustDomain>,
    },
    /// The CAs that vouch for the certificate may not issue ids of its form.
    #[error(
        "the certificate's CA may not issue `{}` identities: use another CA, or have the operator add the form to its `identities`",
        form.as_str()
    )]
    ForeignForm {
        /// The form.
        form: IdForm,
    },
    /// CAs of several trust domains vouch for the same name.
    #[error(
        "CAs of several trust domains ({}) vouch for the certificate, so it is not clear whose client it is",
        list(domains)
    )]
    ManyTrustDomains {
        /// The trust domains.
        domains: Vec<TrustDomain>,
    },
    /// No URI and two DNS names or more.
    #[error(
        "the certificate has {0} DNS names, so it is not clear whom it names: it must have exactly one, or one SPIFFE id"
    )]
    ManyDnsNames(usize),
    /// The DNS name is not the name of one host.
    #[error(
        "the certificate's DNS name {0} is not a host name: it must be labels of letters, digits and inner dashes, without a wildcard"
    )]
    InvalidDnsName(String),
    /// There is a common name at most, and it does not count here.
    #[error(
        "the certificate has neither a SPIFFE id nor a DNS name among its subject alternative names: it must have exactly one"
    )]
    NoName,
    /// Not exactly one common name.
    #[error("the certificate has {0} common names: it must have exactly one, or better one SPIFFE id")]
    CommonNames(usize),
    /// A part of the subject is not plain text.
    #[error("the certificate's {part} {cause}")]
    InvalidText {
        /// What part: `common name (CN)` or `organization (O)`.
        part: &'static str,
        /// What is wrong with it.
        cause: InvalidText,
    },
    /// More groups than a policy document may carry.
    #[error("the certificate has {0} organizations (O): it may have {MAX_GROUPS} at most")]
    ManyGroups(usize),
    /// The serial number is empty or too long.
    #[error("the certificate's serial number must have 1 to {MAX_SERIAL_BYTES} bytes")]
    InvalidSerial,
}

fn list(domains: &[TrustDomain]) -> String {
    let names: Vec<&str> = domains.iter().map(TrustDomain::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Who asks, as policies read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// The typed id, such as `uri:spiffe://example.org/ci`.
    pub id: String,
    /// The trust domain of the CA that vouches for the client. Ids of the forms `dns:` and `cn:` are unique only within it.
    /// Absent from records and questions that are older than this field.
    #[serde(default)]
    pub trust_domain: String,
    /// The organizations of the certificate's subject.
    pub groups: Vec<String>,
    /// The certificate's serial number, lower-case hexadecimal.
    pub serial: String,
    /// When the certificate ends, RFC 3339.
    #[schemars(with = "String")]
    pub not_after: Timestamp,
}

/// The client behind a connection. Only this module makes one, from a certificate that the TLS handshake verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    id: ClientId,
    /// Made once for a connection, and shared by all of its decisions.
    client: Arc<Client>,
    fingerprint: [u8; 32],
}

impl ClientIdentity {
    /// Reads the identity from a certificate whose chain the TLS handshake has verified.
    /// `vouchers` are the CAs that vouch for it.
    pub fn from_certificate(der: &CertificateDer<'_>, vouchers: &[Voucher]) -> Result<Self, IdentityError> {
        let certificate = parse(der)?;
        names::require_client_auth(&certificate)?;
        let (id, trust_domain) = names::client_id(&certificate, vouchers)?;
        let client = Client {
            id,
            trust_domain: trust_domain.as_str().to_owned(),
            groups: names::groups(&certificate)?,
            serial: serial(&certificate)?,
            not_after: Validity::of(&certificate).not_after,
        };
        Ok(Self { id: ClientId(client.id.clone()), client: Arc::new(client), fingerprint: fingerprint(der) })
    }

    /// The typed id.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// Who asks, as policies read it.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The trust domain of the CA that vouches for the client.
    pub fn trust_domain(&self) -> &str {
        &self.client.trust_domain
    }

    /// The subject's organizations (O), in certificate order.
    pub fn groups(&self) -> &[String] {
        &self.client.groups
    }

    /// The certificate's serial number, lower-case hexadecimal without separators.
    pub fn serial(&self) -> &str {
        &self.client.serial
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.client.not_after
    }

    /// SHA-256 of the certificate's DER form.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// What a certificate says about its client; its signature is not checked. A gateway may refuse it, and knows the trust
/// domain of ids of the forms `dns:` and `cn:`, which is empty here.
pub fn claimed(der: &CertificateDer<'_>) -> Result<Client, IdentityError> {
    let certificate = parse(der)?;
    names::require_client_auth(&certificate)?;
    let (id, trust_domain) = names::claimed_id(&certificate)?;
    Ok(Client {
        id,
        trust_domain: trust_domain.map_or(String::new(), |domain| domain.as_str().to_owned()),
        groups: names::groups(&certificate)?,
        serial: serial(&certificate)?,
        not_after: Validity::of(&certificate).not_after,
    })
}

/// When a certificate ends, whomever it names.
pub fn not_after(der: &CertificateDer<'_>) -> Result<Timestamp, IdentityError> {
    Ok(Validity::of(&parse(der)?).not_after)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityError> {
    der::certificate(der).map_err(IdentityError::Malformed)
}

fn serial(certificate: &X509Certificate<'_>) -> Result<String, IdentityError> {
    // DER puts a zero byte before a number whose first bit is set; it is no part of the number.
    let serial = match certificate.raw_serial() {
        [0, rest @ ..] if !rest.is_empty() => rest,
        serial => serial,
    };
    if serial.is_empty() || serial.len() > MAX_SERIAL_BYTES {
        return Err(IdentityError::InvalidSerial);
    }
    Ok(hex::encode(serial))
}

fn fingerprint(der: &CertificateDer<'_>) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref());
    sum
}

#[cfg(test)]
pub(crate) mod fixtures {
    //! Identities for the tests of other modules.

    use super::{Arc, Client, ClientId, ClientIdentity, Timestamp};

    /// The client `uri:spiffe://example.org/NAME`.
    pub(crate) fn client(name: &str) -> ClientIdentity {
        client_of("example.org", name)
    }

    /// The client `uri:spiffe://TRUST-DOMAIN/NAME`.
    pub(crate) fn client_of(trust_domain: &str, name: &str) -> ClientIdentity {
        named(trust_domain, &format!("uri:spiffe://{trust_domain}/{name}"))
    }

    /// The client with this id, which a CA of `trust_domain` vouches for.
    pub(crate) fn named(trust_domain: &str, id: &str) -> ClientIdentity {
        let id = id.to_owned();
        let client = Client {
            id: id.clone(),
            trust_domain: trust_domain.to_owned(),
            groups: Vec::new(),
            serial: "01".to_owned(),
            not_after: Timestamp::MAX,
        };
        ClientIdentity { id: ClientId(id), client: Arc::new(client), fingerprint: [0; 32] }
    }
}
#[cfg(test)]
mod tests;
