//! Just enough DER to write what rcgen does not.

use anyhow::{Result, ensure};
use rcgen::{CertificateParams, KeyPair, SigningKey};
use time::OffsetDateTime;

const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The value with its tag and length (X.690, section 8.1).
pub(super) fn tagged(tag: u8, value: &[u8]) -> Vec<u8> {
    let bytes = value.len().to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let length = match u8::try_from(value.len()) {
        Ok(short @ 0..128) => vec![short],
        _ => [&[0x80 | u8::try_from(bytes.len() - zeros).unwrap_or_default()], &bytes[zeros..]].concat(),
    };
    [&[tag], &length[..], value].concat()
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

/// An extension (RFC 5280, section 4.1) whose identifier is in its encoded form.
pub(super) fn extension(identifier: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tagged(BOOLEAN, &[0xff]) } else { Vec::new() };
    sequence(&[&tagged(OBJECT_IDENTIFIER, identifier), &critical, &tagged(OCTET_STRING, value)])
}

pub(super) fn date(at: OffsetDateTime) -> Vec<u8> {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    tagged(GENERALIZED_TIME, text.as_bytes())
}

/// A part of a name.
fn attribute(kind: u8, text: &str) -> Vec<u8> {
    let attribute = sequence(&[&tagged(OBJECT_IDENTIFIER, &[0x55, 4, kind]), &tagged(UTF8_STRING, text.as_bytes())]);
    tagged(SET, &attribute)
}

/// A name that is one organization.
pub(super) fn organization(name: &str) -> Vec<u8> {
    sequence(&[&attribute(10, name)])
}

/// A name of an organization and a common name.
pub(super) fn name(organization: &str, common_name: &str) -> Vec<u8> {
    sequence(&[&attribute(10, organization), &attribute(3, common_name)])
}

/// ECDSA with SHA-256.
pub(super) fn ecdsa_sha256() -> Vec<u8> {
    sequence(&[&tagged(OBJECT_IDENTIFIER, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2])])
}

/// What is signed, the algorithm and the signature, as certificates and revocation lists have them.
pub(super) fn signed(content: &[u8], algorithm: &[u8], key: &KeyPair) -> Result<Vec<u8>> {
    let signature = key.sign(content)?;
    Ok(sequence(&[content, algorithm, &tagged(BIT_STRING, &[&[0], &signature[..]].concat())]))
}

/// The first value of `bytes`, with its tag and length, and where its content begins.
fn first(bytes: &[u8]) -> Result<(&[u8], usize)> {
    ensure!(bytes.len() >= 2, "no value");
    let (header, length) = match usize::from(bytes[1]) {
        short @ 0..128 => (2, short),
        long => {
            let count = long & 0x7f;
            ensure!(bytes.len() >= 2 + count, "no length");
            (2 + count, bytes[2..2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        }
    };
    ensure!(bytes.len() >= header + length, "a value that is cut short");
    Ok((&bytes[..header + length], header))
}

/// A certificate whose content `edit` has changed, byte for byte, signed again.
pub(super) fn resigned(certificate: &[u8], key: &KeyPair, edit: impl Fn(&mut [u8])) -> Result<Vec<u8>> {
    let (_, header) = first(certificate)?;
    let (content, _) = first(&certificate[header..])?;
    let (algorithm, _) = first(&certificate[header + content.len()..])?;
    let mut content = content.to_vec();
    edit(&mut content);
    signed(&content, algorithm, key)
}

/// Where `part` begins in `whole`.
pub(super) fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// The identifier of a key as rcgen makes it, by which lists and certificates name their issuer's.
pub(super) fn key_identifier(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().key_identifier(key)
}
