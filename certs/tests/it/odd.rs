//! What the library makes for tests that need wrong certificates.

use scalegate_certs::read::{Certificate, Crl};
use scalegate_certs::{CertError, CertificateAuthority, LeafSpec, Purpose, Serial, Validity};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::ParsedExtension;

fn authority() -> CertificateAuthority {
    CertificateAuthority::new("test", Validity::days(1)).unwrap()
}

fn issued(spec: &LeafSpec) -> Certificate {
    Certificate::from_pem(&authority().issue(spec).unwrap().cert_pem).unwrap()
}

#[test]
fn a_certificate_holds_what_its_spec_says() {
    let spec = LeafSpec::client("all")
        .uri("spiffe://a/1")
        .uri("spiffe://a/2")
        .dns("a.example")
        .ip([10, 0, 0, 1].into())
        .ip(std::net::Ipv6Addr::LOCALHOST.into())
        .organization("one")
        .organization("two")
        .purposes([Purpose::ClientAuth, Purpose::ServerAuth]);
    assert_eq!(issued(&spec).profile, spec.profile);
}

#[test]
fn a_certificate_can_lack_names_and_purposes() {
    let spec = LeafSpec::client("").common_name(None).purposes([]);
    assert_eq!(issued(&spec).profile, scalegate_certs::Profile::default());
}

#[test]
fn a_leaf_can_claim_to_be_an_authority() {
    assert!(issued(&LeafSpec::client("claims").authority()).profile.is_ca);
    assert!(!issued(&LeafSpec::client("claims nothing")).profile.is_ca);
}

#[test]
fn a_certificate_can_be_huge() {
    let spec = (0..2_000).fold(LeafSpec::client("huge"), |spec, i| spec.dns(format!("name-{i}.example")));
    assert_eq!(issued(&spec).profile.dns.len(), 2_000);
}

#[test]
fn a_certificate_can_have_ended_or_not_begun() {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let (ended, begins) = (now - Duration::days(1), now + Duration::days(1));
    let old = LeafSpec::client("old").validity(Validity::between(ended - Duration::days(1), ended));
    let young = LeafSpec::client("young").validity(Validity::between(begins, begins + Duration::days(1)));
    assert_eq!(issued(&old).validity, old.validity);
    assert_eq!(issued(&young).validity, young.validity);
}

#[test]
fn serial_numbers_are_random_and_positive() {
    let (authority, spec) = (authority(), LeafSpec::client("serial"));
    let (one, two) = (authority.issue(&spec).unwrap(), authority.issue(&spec).unwrap());
    assert_ne!(one.serial, two.serial);
    assert_eq!(Certificate::from_pem(&one.cert_pem).unwrap().serial, one.serial);
    assert_eq!(one.serial.as_bytes().len(), 16);
    assert_eq!(one.serial.as_bytes()[0] & 0x80, 0);
}

#[test]
fn a_name_that_x509_cannot_hold_is_an_error() {
    let result = authority().issue(&LeafSpec::client("umlaut").uri("spiffe://münchen/x"));
    assert!(matches!(result, Err(CertError::Name { name, .. }) if name == "spiffe://münchen/x"));
}

#[test]
fn a_third_organization_is_an_error_and_never_dropped() {
    let spec = LeafSpec::client("many").organization("a").organization("b").organization("c");
    assert!(matches!(authority().issue(&spec), Err(CertError::TooManyOrganizations(3))));
}

#[test]
fn an_authority_can_be_loaded_again_and_signs_as_before() {
    let first = authority();
    let again = CertificateAuthority::load(first.cert_pem(), &first.key_pem()).unwrap();
    let leaf = Certificate::from_pem(&again.issue(&LeafSpec::client("leaf")).unwrap().cert_pem).unwrap();
    assert!(first.signed(&leaf));
    assert!(!authority().signed(&leaf));
}

#[test]
fn neither_a_leaf_nor_a_strange_key_makes_an_authority() {
    let authority = authority();
    let leaf = authority.issue(&LeafSpec::client("leaf")).unwrap();
    let load = |cert: &str, key: &str| CertificateAuthority::load(cert, key).err();
    assert!(matches!(load(&leaf.cert_pem, &leaf.key_pem), Some(CertError::NotAnAuthority)));
    assert!(matches!(load(authority.cert_pem(), &leaf.key_pem), Some(CertError::KeyMismatch)));
    assert!(matches!(load(authority.cert_pem(), "no key"), Some(CertError::Key(_))));
    assert!(matches!(load("no certificate", &leaf.key_pem), Some(CertError::Certificate(_))));
}

#[test]
fn a_revocation_list_names_what_it_revokes_and_may_have_ended() {
    let authority = authority();
    let ended = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() - Duration::days(3);
    let serials = [Serial::new(&[1]), Serial::new(&[0, 2, 3])];
    let crl = Crl::from_pem(&authority.crl(&serials, ended).unwrap()).unwrap();
    assert_eq!(crl.revoked, serials);
    assert_eq!(crl.validity.not_after, ended);
    assert!(crl.validity.not_before < ended);
    assert!(authority.signed_crl(&crl));
    assert!(!self::authority().signed_crl(&crl));
}

#[test]
fn a_revocation_list_can_be_empty() {
    let crl = authority().crl(&[], Validity::days(1).not_after).unwrap();
    assert_eq!(Crl::from_pem(&crl).unwrap().revoked, []);
}

#[test]
fn usages_and_key_identifiers_are_those_of_rfc_5280() {
    let authority = authority();
    let leaf = authority.issue(&LeafSpec::client("leaf")).unwrap();
    let (ca, leaf) = (extensions(authority.cert_pem()), extensions(&leaf.cert_pem));
    assert_eq!(ca.usage, "Key Cert Sign, CRL Sign");
    assert_eq!(leaf.usage, "Digital Signature");
    assert_eq!(leaf.issuer_key, ca.own_key);
    assert_ne!(leaf.own_key, ca.own_key);
}

struct Extensions {
    usage: String,
    own_key: Vec<u8>,
    issuer_key: Vec<u8>,
}

fn extensions(pem: &str) -> Extensions {
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let usage = certificate.key_usage().unwrap().expect("a key usage");
    assert!(usage.critical);
    let mut found = Extensions { usage: usage.value.to_string(), own_key: Vec::new(), issuer_key: Vec::new() };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => found.own_key = id.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                found.issuer_key = id.key_identifier.as_ref().expect("a key identifier").0.to_vec();
            }
            _ => {}
        }
    }
    assert!(!found.own_key.is_empty());
    assert!(!found.issuer_key.is_empty());
    found
}
