//! Which certificates get in, and as whom.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pki::{Ca, Credentials, Pki, limits};
use super::server::{Server, get};

const CI: &[&str] = &["spiffe://example.org/ci"];

/// Asserts that the server refuses `credentials` in the handshake, and counts it as `outcome`.
async fn assert_refused(pki: &Pki, credentials: Option<&Credentials>, outcome: &str) {
    let server = Server::start(pki, &limits());
    // In TLS 1.3 the client is done before the server has looked at the certificate: the refusal comes with the answer.
    let refused = match server.connect(pki, credentials).await {
        Ok(mut connection) => connection.ask("/").await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    assert_eq!(server.metric(&format!("handshakes_total{{outcome=\"{outcome}\"}}")), "1");
    assert_eq!(server.metric("handshakes_total{outcome=\"ok\"}"), "0");
}

#[tokio::test]
async fn a_client_is_served_by_its_name_over_http1_and_http2() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    assert_eq!(server.ask(&pki, &pki.ci()).await.unwrap(), "uri:spiffe://example.org/ci");
    let mut sender = server.connect_http2(&pki, &pki.ci()).await;
    let response = sender.send_request(get("/")).await.unwrap();
    let body = http_body_util::BodyExt::collect(response).await.unwrap().to_bytes();
    assert_eq!(body, "uri:spiffe://example.org/ci");
    assert_eq!(server.metric("handshakes_total{outcome=\"ok\"}"), "2");
}

#[tokio::test]
async fn no_certificate_is_refused() {
    assert_refused(&Pki::new(), None, "no_certificate").await;
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_even_if_that_has_the_same_name() {
    for name in ["test CA", "other CA"] {
        let other = Ca::new(name).client(CI, |_| {});
        assert_refused(&Pki::new(), Some(&other), "bad_certificate").await;
    }
}

#[tokio::test]
async fn an_expired_or_early_certificate_is_refused() {
    let pki = Pki::new();
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    assert_refused(&pki, Some(&pki.ca.client(CI, expired)), "bad_certificate").await;
    assert_refused(&pki, Some(&pki.ca.client(CI, early)), "bad_certificate").await;
}

#[tokio::test]
async fn a_servers_certificate_is_no_clients() {
    let pki = Pki::new();
    for usage in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any] {
        let wrong = pki.ca.client(CI, |params| params.extended_key_usages = vec![usage]);
        assert_refused(&pki, Some(&wrong), "bad_certificate").await;
    }
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_another_one_is_not() {
    let mut pki = Pki::new();
    let list = pki.ca.revocation_list(&[7], 2090);
    pki.revoke("crl.pem", &list);
    let revoked = pki.ca.client(CI, |params| params.serial_number = Some(7_u64.into()));
    assert_refused(&pki, Some(&revoked), "bad_certificate").await;
    let server = Server::start(&pki, &limits());
    assert_eq!(server.ask(&pki, &pki.ci()).await.unwrap(), "uri:spiffe://example.org/ci");
}

#[tokio::test]
async fn a_revocation_list_past_its_next_update_admits_nobody() {
    let mut pki = Pki::new();
    let list = pki.ca.revocation_list(&[], 2020);
    pki.revoke("crl.pem", &list);
    assert_refused(&pki, Some(&pki.ci()), "bad_certificate").await;
}

#[tokio::test]
async fn a_revocation_list_of_one_ca_leaves_the_others_alone() {
    let mut pki = Pki::new();
    let other = Ca::new("other CA");
    pki.trust("other.pem", &other.pem(), "other.org");
    let list = pki.ca.revocation_list(&[7], 2020);
    pki.revoke("crl.pem", &list);
    assert_refused(&pki, Some(&pki.ci()), "bad_certificate").await;
    let server = Server::start(&pki, &limits());
    let client = other.client(&["spiffe://other.org/ci"], |_| {});
    assert_eq!(server.ask(&pki, &client).await.unwrap(), "uri:spiffe://other.org/ci");
}

#[tokio::test]
async fn a_ca_cannot_name_clients_of_another_cas_trust_domain() {
    let mut pki = Pki::new();
    let other = Ca::new("other CA");
    pki.trust("other.pem", &other.pem(), "other.org");
    let server = Server::start(&pki, &limits());
    let honest = other.client(&["spiffe://other.org/ci"], |_| {});
    assert_eq!(server.ask(&pki, &honest).await.unwrap(), "uri:spiffe://other.org/ci");
    let told = server.ask(&pki, &other.client(CI, |_| {})).await.unwrap();
    assert!(told.starts_with("nobody: ") && told.ends_with("its ca may only issue for other.org"), "{told}");
}

#[tokio::test]
async fn two_spiffe_ids_reach_the_handler_as_nobody() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let both = pki.ca.client(&["spiffe://example.org/ci", "spiffe://example.org/admin"], |_| {});
    let told = server.ask(&pki, &both).await.unwrap();
    assert!(told.starts_with("nobody: the certificate has 2 uri subject alternative names"), "{told}");
}

#[tokio::test]
async fn a_certificate_without_any_usage_reaches_the_handler_as_nobody() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let any = pki.ca.client(CI, |params| params.extended_key_usages.clear());
    let told = server.ask(&pki, &any).await.unwrap();
    assert!(told.contains("does not contain clientauth"), "{told}");
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&client_hello_1_2()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // A fatal alert, protocol_version (RFC 8446 section 6).
    assert_eq!([answer[0], answer[5], answer[6]], [21, 2, 70], "{answer:?}");
    assert_eq!(server.metric("handshakes_total{outcome=\"tls_error\"}"), "1");
}

/// A `ClientHello` as a TLS 1.2 client sends it: without `supported_versions`.
fn client_hello_1_2() -> Vec<u8> {
    let groups = [0, 10, 0, 4, 0, 2, 0, 29];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let mut body = vec![3, 3];
    body.extend([7; 32]); // random
    body.push(0); // session id
    body.extend([0, 2, 0xc0, 0x2b]); // ECDHE-ECDSA-AES128-GCM-SHA256
    body.extend([1, 0]); // no compression
    body.extend([0, 16]);
    body.extend(groups);
    body.extend(signatures);
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(body);
    record
}
