//! Who asks: the identity that a verified client certificate carries.

use std::fmt;

use jiff::Timestamp;

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

/// The client behind a connection. Only this module makes one, from a certificate that the TLS handshake verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    id: ClientId,
    groups: Vec<String>,
    serial: String,
    not_after: Timestamp,
    fingerprint: [u8; 32],
}

impl ClientIdentity {
    /// The typed id.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The subject's organizations (O), in certificate order.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The certificate's serial number, lower-case hexadecimal without separators.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// SHA-256 of the certificate's DER form.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}
