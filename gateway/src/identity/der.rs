//! Reads certificates, and says what is wrong with those that cannot be read.

use x509_parser::asn1_rs::{Any, Header, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::error::BerError;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::nom::{self, error::ErrorKind};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::text::excerpt;

/// The certificate that `der` is, without anything behind it; or why it is none.
pub(crate) fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    whole(X509Certificate::from_der(der))
}

/// What was parsed, if nothing follows it; or why there is nothing.
pub(crate) fn whole<T>(parsed: Result<(&[u8], T), nom::Err<X509Error>>) -> Result<T, String> {
    match parsed.map_err(X509Error::from) {
        Ok(([], item)) => Ok(item),
        Ok(_) => Err("bytes follow its end".to_owned()),
        Err(X509Error::NomError(ErrorKind::Eof) | X509Error::Der(BerError::Incomplete(_))) => {
            Err("it is cut short, or a length in it is wrong".to_owned())
        }
        Err(error) => Err(format!("its structure is wrong: {error}")),
    }
}

/// The subject of a certificate, escaped and cut, also where much of the rest cannot be read.
pub(crate) fn subject(der: &[u8]) -> Option<String> {
    let fields = fields(der)?;
    // Version (absent in the first one), serial number, signature algorithm, issuer, validity.
    let (rest, first) = Any::from_der(fields).ok()?;
    let before = if first.tag() == Tag(0) { 4 } else { 3 };
    first_name(skip(rest, before)?)
}

/// The issuer of a revocation list, likewise.
pub(crate) fn list_issuer(der: &[u8]) -> Option<String> {
    let fields = fields(der)?;
    // Version (absent in the first one), signature algorithm.
    let (rest, first) = Any::from_der(fields).ok()?;
    first_name(if first.tag() == Tag::Integer { skip(rest, 1)? } else { rest })
}

/// What follows the two outer headers, whose lengths may be wrong.
fn fields(der: &[u8]) -> Option<&[u8]> {
    let (to_be_signed, _) = Header::from_der(der).ok()?;
    Some(Header::from_der(to_be_signed).ok()?.0)
}

fn skip(bytes: &[u8], fields: usize) -> Option<&[u8]> {
    (0..fields).try_fold(bytes, |rest, _| Some(Any::from_der(rest).ok()?.0))
}

fn first_name(bytes: &[u8]) -> Option<String> {
    let (_, name) = X509Name::from_der(bytes).ok()?;
    excerpt_of(&name)
}

/// A subject or issuer, escaped and cut; `None` if it is empty.
pub(crate) fn excerpt_of(name: &X509Name<'_>) -> Option<String> {
    let text = name.to_string();
    (!text.is_empty()).then(|| excerpt(&text))
}

/// What a certificate is called in messages: its subject, else the URI or DNS name in its place (RFC 5280 section
/// 4.1.2.6), else its serial number; escaped and cut.
pub(crate) fn name(certificate: &X509Certificate<'_>) -> String {
    let serial = || format!("serial number {}", excerpt(&certificate.raw_serial_as_string()));
    excerpt_of(certificate.subject()).or_else(|| alternative_name(certificate)).unwrap_or_else(serial)
}

fn alternative_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    names.iter().find_map(|name| match name {
        GeneralName::URI(name) | GeneralName::DNSName(name) => Some(excerpt(name)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn named(name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_broken_certificate_is_told_with_its_subject() {
        let good = named("ops CA");
        let mut wrong_tag = good.clone();
        wrong_tag[4] = 0x31;
        let long = [good.as_slice(), b"x"].concat();
        for (broken, cause) in [
            (&good[..good.len() - 3], "cut short"),
            (&wrong_tag, "structure is wrong"),
            (&long, "bytes follow its end"),
        ] {
            let told = certificate(broken).unwrap_err();
            assert!(told.contains(cause), "{told}");
            assert_eq!(subject(broken).as_deref(), Some("\"CN=ops CA\""));
        }
        assert!(certificate(&good).is_ok());
    }

    #[test]
    fn a_subject_is_escaped_and_cut_and_any_bytes_may_have_none() {
        let told = subject(&named(&"\u{202e}x\n".repeat(50))).unwrap();
        assert!(
            told.starts_with("\"CN=\\u{202e}x") && told.len() < 600 && told.is_ascii() == told.ends_with('"'),
            "{told}"
        );
        for bytes in [&b""[..], b"text", &[0x30, 0x82], &[0x30, 0x80, 0x30, 0x80]] {
            assert_eq!((subject(bytes), list_issuer(bytes)), (None, None));
        }
    }

    #[test]
    fn a_certificate_without_a_subject_is_called_by_its_first_name_or_number() {
        let called = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.serial_number = Some(0xab_cd_u64.into());
            let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
            assert_eq!(subject(&der), None);
            name(&certificate(&der).unwrap())
        };
        assert_eq!(called(&["gateway.example", "10.0.0.1"]), "\"gateway.example\"");
        assert_eq!(called(&["10.0.0.1"]), "serial number \"00:ab:cd\"");
        assert_eq!(called(&[]), "serial number \"00:ab:cd\"");
        assert_eq!(name(&certificate(&named("ops CA")).unwrap()), "\"CN=ops CA\"");
    }
}
