//! Files that cannot be used are told by their names.

use super::super::Tls;
use super::pki::{Ca, Pki};

fn error(pki: &Pki) -> String {
    Tls::load(&pki.settings).unwrap_err().to_string()
}

#[test]
fn good_files_tell_when_they_end() {
    let mut pki = Pki::new();
    let list = pki.ca.revocation_list(&[], 2090);
    pki.revoke("crl.pem", &list);
    let expiry = Tls::load(&pki.settings).unwrap().expiry();
    assert_eq!(expiry.server.to_string(), "4096-01-01T00:00:00Z");
    assert_eq!(expiry.client_ca.to_string(), "4096-01-01T00:00:00Z");
    assert_eq!(expiry.revocation_list.unwrap().to_string(), "2090-01-01T00:00:00Z");
}

#[test]
fn a_key_of_another_certificate_is_refused_naming_both_files() {
    let mut pki = Pki::new();
    pki.settings.key = pki.write("other-key.pem", &pki.ca.server().key);
    let told = error(&pki);
    assert!(told.contains("other-key.pem does not hold the private key of the certificate in"), "{told}");
    assert!(told.ends_with("server.pem"), "{told}");
}

#[test]
fn each_unusable_file_is_told_with_its_cause() {
    type Break = fn(&mut Pki, &str);
    let key: Break = |pki, content| pki.settings.key = pki.write("broken.pem", content);
    let certificate: Break = |pki, content| pki.settings.certificate = pki.write("broken.pem", content);
    let ca: Break = |pki, content| pki.settings.client_cas[0].file = pki.write("broken.pem", content);
    let crl: Break = |pki, content| pki.revoke("broken.pem", content);
    let leaf = Ca::new("x").server().certificate;
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbage_crl = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let garbage_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let two_keys = garbage_key.repeat(2);
    for (change, content, cause) in [
        (key, "", "contains no private key"),
        (key, encrypted, "the private key is encrypted"),
        (key, &two_keys, "contains more than one private key"),
        (key, garbage_key, "cannot be the server's certificate and key"),
        (key, "-----BEGIN PRIVATE KEY-----\nAA", "is not valid PEM: line 1: no `-----END PRIVATE KEY-----`"),
        (certificate, "", "contains no certificate"),
        (certificate, garbage, "block 1 (line 1): is not a valid certificate"),
        (ca, "text", "contains no certificate"),
        (ca, garbage, "block 1 (line 1): is not a valid certificate"),
        (ca, &leaf, "is no CA's certificate"),
        (crl, "", "contains no revocation list"),
        (crl, garbage_crl, "block 1 (line 1): is not a valid revocation list"),
    ] {
        let mut pki = Pki::new();
        change(&mut pki, content);
        let told = error(&pki);
        assert!(told.contains("broken.pem") && told.contains(cause), "{content:?}: {told}");
    }
    let mut pki = Pki::new();
    pki.settings.key = "/nonexistent/key.pem".into();
    assert!(error(&pki).starts_with("/nonexistent/key.pem: cannot be read: "));
}
