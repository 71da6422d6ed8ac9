#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType,
    SerialNumber, string::Ia5String,
};

use super::*;

/// A client certificate to be, for `spiffe://example.org/ci` unless told otherwise.
struct Fixture(CertificateParams);

impl Fixture {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(SerialNumber::from(vec![0x8a, 0x01, 0x02]));
        Self(params)
    }

    fn uri(mut self, uri: &str) -> Self {
        self.0.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        self
    }

    fn dns(mut self, name: &str) -> Self {
        self.0.subject_alt_names.push(SanType::DnsName(name.try_into().unwrap()));
        self
    }

    fn email(mut self, address: &str) -> Self {
        self.0.subject_alt_names.push(SanType::Rfc822Name(Ia5String::try_from(address).unwrap()));
        self
    }

    fn subject(mut self, kind: DnType, value: &str) -> Self {
        self.0.distinguished_name.push(kind, value);
        self
    }

    fn usages(mut self, usages: &[ExtendedKeyUsagePurpose]) -> Self {
        self.0.extended_key_usages = usages.to_vec();
        self
    }

    fn der(self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        self.0.self_signed(&key).unwrap().der().clone()
    }

    fn read(self) -> Result<ClientIdentity, IdentityError> {
        ClientIdentity::from_certificate(&self.der(), &vouchers(&[IdForm::Uri, IdForm::Dns]))
    }

    fn read_with_common_name(self) -> Result<ClientIdentity, IdentityError> {
        ClientIdentity::from_certificate(&self.der(), &vouchers(&[IdForm::Uri, IdForm::Dns, IdForm::Cn]))
    }
}

fn vouchers(forms: &[IdForm]) -> [Voucher; 1] {
    [voucher("example.org", forms)]
}

fn voucher(trust_domain: &str, forms: &[IdForm]) -> Voucher {
    Voucher { trust_domain: trust_domain.parse().unwrap(), forms: forms.iter().copied().collect() }
}

fn id(identity: Result<ClientIdentity, IdentityError>) -> String {
    identity.unwrap().id().to_string()
}

#[test]
fn one_spiffe_uri_is_the_identity_whatever_else_is_named() {
    let certificate = || Fixture::new().uri("spiffe://example.org/ci").subject(DnType::CommonName, "admin");
    assert_eq!(id(certificate().read()), "uri:spiffe://example.org/ci");
    assert_eq!(id(certificate().dns("a.example").dns("b.example").read()), "uri:spiffe://example.org/ci");
    assert_eq!(id(certificate().read_with_common_name()), "uri:spiffe://example.org/ci");
}

#[test]
fn a_certificate_tells_groups_serial_end_and_fingerprint() {
    // rcgen's `DistinguishedName` holds one value of each type.
    let mut certificate = Fixture::new().uri("spiffe://example.org/ci").subject(DnType::OrganizationName, "platform");
    certificate.0.not_after = rcgen::date_time_ymd(2031, 2, 3);
    let der = certificate.der();
    let identity = ClientIdentity::from_certificate(&der, &vouchers(&[IdForm::Uri, IdForm::Dns])).unwrap();
    assert_eq!(identity.groups(), ["platform"]);
    assert_eq!(identity.serial(), "8a0102");
    assert_eq!(identity.not_after().to_string(), "2031-02-03T00:00:00Z");
    assert_eq!(not_after(&der), Ok(identity.not_after()));
    assert_eq!(identity.fingerprint().as_slice(), aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der).as_ref());
}

#[test]
fn two_uris_are_refused_also_when_one_is_no_spiffe_id() {
    let one = || Fixture::new().uri("spiffe://example.org/ci");
    assert_eq!(one().uri("spiffe://example.org/admin").read(), Err(IdentityError::ManyUris(2)));
    assert_eq!(one().uri("https://example.org/").read(), Err(IdentityError::ManyUris(2)));
    assert_eq!(one().uri("spiffe://example.org/ci").read(), Err(IdentityError::ManyUris(2)));
}

#[test]
fn a_uri_that_is_no_spiffe_id_is_refused_even_beside_a_dns_name() {
    let error = Fixture::new().uri("https://example.org/ci").dns("ci.example.org").read().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate's URI subject alternative name \"https://example.org/ci\" is not a SPIFFE id: \
         it must begin with spiffe://"
    );
}

#[test]
fn a_spiffe_id_outside_the_trust_domain_of_its_ca_is_refused() {
    let error = Fixture::new().uri("spiffe://elsewhere.org/ci").read().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate's SPIFFE id is in trust domain elsewhere.org, but its CA may only issue for example.org"
    );
}

#[test]
fn exactly_one_dns_name_is_the_identity_in_lower_case() {
    assert_eq!(id(Fixture::new().dns("CI.Example.org").read()), "dns:ci.example.org");
    assert_eq!(Fixture::new().dns("a.example").dns("b.example").read(), Err(IdentityError::ManyDnsNames(2)));
    assert_eq!(
        Fixture::new().dns("a.example").dns("b.example").subject(DnType::CommonName, "x").read_with_common_name(),
        Err(IdentityError::ManyDnsNames(2))
    );
}

#[test]
fn a_dns_name_that_is_no_host_name_is_refused() {
    let long = format!("{}.example", "a".repeat(64));
    for name in ["*.example.org", "a..b", ".a", "a.", "-a", "a-", "a_b", "a b", "a\0b", "", &long] {
        let refused = Fixture::new().dns(name).read();
        assert!(matches!(refused, Err(IdentityError::InvalidDnsName(_))), "{name:?}: {refused:?}");
    }
}

#[test]
fn a_common_name_counts_only_where_it_is_allowed_and_nothing_else_is_there() {
    let certificate = || Fixture::new().subject(DnType::CommonName, "ci").email("ci@example.org");
    assert_eq!(certificate().read(), Err(IdentityError::NoName));
    assert_eq!(id(certificate().read_with_common_name()), "cn:ci");
    assert_eq!(Fixture::new().read_with_common_name(), Err(IdentityError::CommonNames(0)));
}

#[test]
fn names_that_are_not_plain_text_are_refused() {
    let long = "x".repeat(257);
    for (name, cause) in [
        ("", InvalidText::Empty),
        (" ci", InvalidText::Invisible),
        ("c\0i", InvalidText::Invisible),
        ("c\ni", InvalidText::Invisible),
        ("c\u{202e}i", InvalidText::Invisible),
        ("c\u{200b}i", InvalidText::Invisible),
        (&long, InvalidText::Long),
    ] {
        let common_name = Fixture::new().subject(DnType::CommonName, name).read_with_common_name();
        assert_eq!(common_name, Err(IdentityError::InvalidText { part: "common name (CN)", cause }), "{name:?}");
        let certificate = Fixture::new().uri("spiffe://example.org/ci").subject(DnType::OrganizationName, name);
        let group = certificate.read();
        assert_eq!(group, Err(IdentityError::InvalidText { part: "organization (O)", cause }), "{name:?}");
    }
    assert_eq!(id(Fixture::new().subject(DnType::CommonName, "Jörg Weiß").read_with_common_name()), "cn:Jörg Weiß");
}

#[test]
fn a_name_in_another_encoding_is_refused() {
    let mut certificate = Fixture::new();
    let name = rcgen::DnValue::BmpString(rcgen::string::BmpString::try_from("ci").unwrap());
    certificate.0.distinguished_name.push(DnType::CommonName, name);
    assert!(matches!(
        certificate.read_with_common_name(),
        Err(IdentityError::InvalidText { cause: InvalidText::Encoding, .. })
    ));
}

#[test]
fn more_groups_than_the_bound_are_refused() {
    // Distinct attribute types with one content cannot be made by `push`, so the subject is assembled by hand.
    let der = |count: usize| {
        let mut subject = Vec::new();
        for _ in 0..count {
            subject.extend([0x31, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x0a, 0x0c, 0x03, b'd', b'e', b'v']);
        }
        with_subject(&Fixture::new().uri("spiffe://example.org/ci").der(), &subject)
    };
    let read = |count| ClientIdentity::from_certificate(&der(count), &vouchers(&[IdForm::Uri, IdForm::Dns]));
    assert_eq!(read(64).unwrap().groups().len(), 64);
    assert_eq!(read(65), Err(IdentityError::ManyGroups(65)));
}

#[test]
fn only_a_present_client_auth_usage_counts() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let certificate = || Fixture::new().uri("spiffe://example.org/ci");
    assert_eq!(certificate().usages(&[]).read(), Err(IdentityError::NotForClients));
    assert_eq!(certificate().usages(&[ServerAuth]).read(), Err(IdentityError::NotForClients));
    assert_eq!(certificate().usages(&[Any]).read(), Err(IdentityError::NotForClients));
    assert!(certificate().usages(&[ServerAuth, ClientAuth]).read().is_ok());
}

#[test]
fn an_extension_that_is_there_twice_is_refused() {
    // subjectAltName (2.5.29.17) with the single URI "spiffe://example.org/b"
    let mut names = vec![0x30, 0x18, 0x86, 0x16];
    names.extend(b"spiffe://example.org/b");
    let mut certificate = Fixture::new().uri("spiffe://example.org/a");
    certificate.0.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
    assert!(matches!(certificate.read(), Err(IdentityError::Malformed(_))));
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    let mut certificate = Fixture::new();
    let names = vec![0x30, 0x04, 0x86, 0x02, 0xff, 0xfe];
    certificate.0.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
    assert!(matches!(certificate.read_with_common_name(), Err(IdentityError::Malformed(_))));
}

#[test]
fn no_mutilated_certificate_panics_or_becomes_somebody_of_another_trust_domain() {
    let original = Fixture::new()
        .uri("spiffe://example.org/ci")
        .dns("ci.example.org")
        .subject(DnType::CommonName, "ci")
        .subject(DnType::OrganizationName, "platform")
        .der();
    let mut read = 0_usize;
    for position in 0..original.len() {
        for flip in [0x01, 0x02, 0x20, 0x80, 0xff] {
            let mut bytes = original.to_vec();
            bytes[position] ^= flip;
            if let Ok(identity) =
                ClientIdentity::from_certificate(&bytes.into(), &vouchers(&[IdForm::Uri, IdForm::Dns, IdForm::Cn]))
            {
                read += 1;
                let id = identity.id().as_str();
                assert!(
                    id.starts_with("uri:spiffe://example.org/") || id.starts_with("dns:") || id.starts_with("cn:"),
                    "{id}"
                );
            }
        }
        let cut = original[..position].to_vec();
        assert!(
            ClientIdentity::from_certificate(&cut.into(), &vouchers(&[IdForm::Uri, IdForm::Dns, IdForm::Cn])).is_err(),
            "{position}"
        );
    }
    // Flips in the key or the signature do not touch the identity: the loop did read certificates.
    assert!(read > 100, "{read}");
}

/// `certificate` with another subject, whose signature no longer fits; the handshake would refuse it, `identity` does
/// not look at it.
fn with_subject(certificate: &CertificateDer<'_>, subject: &[u8]) -> CertificateDer<'static> {
    let parsed = der::certificate(certificate).unwrap();
    let tbs = parsed.tbs_certificate.as_ref();
    let old = parsed.subject().as_raw();
    let start = old.as_ptr() as usize - certificate.as_ptr() as usize;
    let tbs_start = tbs.as_ptr() as usize - certificate.as_ptr() as usize;
    let (_, tbs_header) = header(tbs);
    let mut body = certificate[tbs_start + tbs_header..start].to_vec();
    body.extend(sequence(subject));
    body.extend(&certificate[start + old.len()..tbs_start + tbs.len()]);
    let mut whole = sequence(&body);
    whole.extend(&certificate[tbs_start + tbs.len()..]);
    CertificateDer::from(sequence(&whole))
}

/// The length of the content of the DER element at the start of `bytes`, and of what stands before it.
fn header(bytes: &[u8]) -> (usize, usize) {
    match bytes[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(bytes[2]), 3),
        _ => (usize::from(bytes[2]) << 8 | usize::from(bytes[3]), 4),
    }
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut der = vec![0x30];
    match content.len() {
        0..=0x7f => der.push(length[1]),
        0x80..=0xff => der.extend([0x81, length[1]]),
        _ => der.extend([0x82, length[0], length[1]]),
    }
    der.extend(content);
    der
}

#[test]
fn the_trust_domain_of_a_name_is_that_of_the_only_ca_that_may_vouch_for_its_form() {
    let der = Fixture::new().dns("ci.example.org").der();
    let read = |vouchers: &[Voucher]| ClientIdentity::from_certificate(&der, vouchers);
    let (home, away) = (voucher("example.org", &[IdForm::Dns]), voucher("elsewhere.org", &[IdForm::Dns]));
    let told = |vouchers: &[Voucher]| read(vouchers).unwrap().trust_domain().to_owned();
    assert_eq!(
        (told(std::slice::from_ref(&home)), told(std::slice::from_ref(&away))),
        ("example.org".to_owned(), "elsewhere.org".to_owned())
    );
    let uris_alone = voucher("elsewhere.org", &[IdForm::Uri]);
    assert_eq!(told(&[home.clone(), uris_alone.clone()]), "example.org");
    assert_eq!(read(&[uris_alone]), Err(IdentityError::ForeignForm { form: IdForm::Dns }));
    assert!(matches!(read(&[home, away]), Err(IdentityError::ManyTrustDomains { .. })));
}

#[test]
fn a_ca_that_may_not_issue_spiffe_ids_vouches_for_none() {
    let der = Fixture::new().uri("spiffe://example.org/ci").der();
    let read = ClientIdentity::from_certificate(&der, &vouchers(&[IdForm::Dns]));
    assert_eq!(read, Err(IdentityError::ForeignForm { form: IdForm::Uri }));
}

#[test]
fn what_a_certificate_claims_needs_no_ca() {
    let der = Fixture::new().uri("spiffe://example.org/ci").subject(DnType::OrganizationName, "builders").der();
    let client = claimed(&der).unwrap();
    assert_eq!((client.id.as_str(), client.trust_domain.as_str()), ("uri:spiffe://example.org/ci", "example.org"));
    assert_eq!((client.groups, client.serial.as_str()), (vec!["builders".to_owned()], "8a0102"));
    let dns = claimed(&Fixture::new().dns("Ci.example.org").der()).unwrap();
    assert_eq!((dns.id.as_str(), dns.trust_domain.as_str()), ("dns:ci.example.org", ""));
    let named = claimed(&Fixture::new().subject(DnType::CommonName, "ci").der()).unwrap();
    assert_eq!(named.id, "cn:ci");
    for (fixture, wrong) in [
        (Fixture::new().dns("a.example").dns("b.example"), IdentityError::ManyDnsNames(2)),
        (Fixture::new().uri("spiffe://a/x").uri("spiffe://a/y"), IdentityError::ManyUris(2)),
        (Fixture::new().usages(&[ExtendedKeyUsagePurpose::ServerAuth]).dns("a.example"), IdentityError::NotForClients),
        (Fixture::new(), IdentityError::CommonNames(0)),
    ] {
        assert_eq!(claimed(&fixture.der()).unwrap_err(), wrong);
    }
}
