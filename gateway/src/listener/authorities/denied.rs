//! Clients that are refused even though their certificates are valid.
//!
//! A revocation list must be signed by its CA; this list only has to be edited. It is for a key that is compromised while
//! the CA is unreachable, or when the CA publishes no lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use super::error::AuthoritiesError;
use crate::hex;
use crate::identity::{ClientId, der, names};

/// The largest file that is read: some 10,000 clients.
const MAX_BYTES: u64 = 1024 * 1024;

/// The clients that are refused.
#[derive(Debug, Default)]
pub(super) struct Denied {
    identities: BTreeSet<String>,
    /// Without leading zeros, in lower-case hexadecimal.
    serials: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDenied {
    identities: Option<Vec<String>>,
    serials: Option<Vec<String>>,
}

impl Denied {
    /// Reads the list in `file`.
    pub(super) fn read(file: &Path) -> Result<Self, AuthoritiesError> {
        let invalid = |cause: String| AuthoritiesError::Denied { file: file.to_owned(), cause };
        let size = fs::metadata(file).map_err(|error| invalid(error.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(invalid(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let text = fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
        Self::parse(&text).map_err(invalid)
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Without the lines around the mistake: the file may be a private key by mistake.
        let raw: Option<RawDenied> =
            serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
        // A file that was cut short must not let everybody in.
        let is_empty = |raw: &RawDenied| raw.identities.is_none() && raw.serials.is_none();
        let raw = raw.filter(|raw| !is_empty(raw)).ok_or("it is empty; a list of nobody is `identities: []`")?;
        let identities = raw.identities.iter().flatten().map(|text| identity(text)).collect::<Result<_, _>>()?;
        let serials = raw.serials.iter().flatten().map(|text| normal_serial(text)).collect::<Result<_, _>>()?;
        Ok(Self { identities, serials })
    }

    /// Why the client with the certificate `leaf` is refused, if it is. `identify` says whom the certificate names, if
    /// anybody.
    pub(super) fn why(&self, leaf: &CertificateDer<'_>, identify: impl FnOnce() -> Option<ClientId>) -> Option<String> {
        if !self.serials.is_empty()
            && let Ok(certificate) = der::certificate(leaf)
            && let serial = significant(certificate.raw_serial())
            && self.serials.contains(&serial)
        {
            return Some(format!("the serial number {serial} is on the list of denied clients"));
        }
        if self.identities.is_empty() {
            return None;
        }
        let id = identify()?;
        self.identities.contains(id.as_str()).then(|| format!("{id} is on the list of denied clients"))
    }

    /// Its entries, each with its kind.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let identities = self.identities.iter().map(|id| ("identity", id.as_str()));
        identities.chain(self.serials.iter().map(|serial| ("serial", serial.as_str())))
    }
}

/// An id as certificates give it: one that no certificate can name would deny nobody.
fn identity(text: &str) -> Result<String, String> {
    names::normal_id(text).ok_or_else(|| {
        format!("{text:?} is not the id of a client, such as `uri:spiffe://example.org/ci` or `dns:ci.example.org`")
    })
}

/// A serial number in hexadecimal: `00:AB:CD`, as OpenSSL writes it, `0xabcd` and `abcd` are the same.
fn normal_serial(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text).replace(':', "");
    let digits = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
    let bytes = hex::decode(&digits).filter(|bytes| !bytes.is_empty());
    let bytes = bytes.ok_or_else(|| format!("{text:?} is not a serial number in hexadecimal"))?;
    Ok(significant(&bytes))
}

/// A number without its leading zero bytes, in hexadecimal.
fn significant(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    hex::encode(bytes.get(zeros..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn ids_and_serial_numbers_are_read_as_people_write_them() {
        let denied = Denied::parse(
            "identities: ['uri:spiffe://example.org/ci', 'dns:CI.Example.org']\nserials: ['00:AB:Cd', abc, '0x1000']",
        )
        .unwrap();
        let entries: Vec<_> = denied.entries().collect();
        let expected = [
            ("identity", "dns:ci.example.org"),
            ("identity", "uri:spiffe://example.org/ci"),
            ("serial", "0abc"),
            ("serial", "1000"),
            ("serial", "abcd"),
        ];
        assert_eq!(entries, expected);
        assert_eq!(Denied::parse("identities: []").unwrap().entries().count(), 0);
    }

    #[test]
    fn a_list_that_is_not_understood_is_refused() {
        for (text, told) in [
            ("", "it is empty"),
            ("# nobody\n", "it is empty"),
            ("{}", "it is empty"),
            ("identities: [ci]", "\"ci\" is not the id of a client"),
            ("identities: ['uri:']", "\"uri:\" is not the id"),
            ("identities: ['uri:spiffe://example.org/ci ']", "is not the id"),
            ("identities: ['uri:spiffe://Example.org/ci']", "is not the id"),
            ("identities: ['uri:https://example.org/ci']", "is not the id"),
            ("identities: ['dns:*.example.org']", "is not the id"),
            ("identities: ['dns:ci.example.org.']", "is not the id"),
            ("serials: [xyz]", "\"xyz\" is not a serial number"),
            ("serials: ['']", "\"\" is not a serial number"),
            ("clients: []", "clients"),
            ("identities: {a: b}", ""),
        ] {
            let error = Denied::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let key = Denied::parse("-----BEGIN PRIVATE KEY-----\nMIIsecret\n").unwrap_err();
        assert!(key.contains("line 1") && !key.contains("MIIsecret"), "{key}");
    }
}
