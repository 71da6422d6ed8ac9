//! From when to when certificates are good: those of clients, of the CAs above them, and the server's.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::super::Tls;
use super::super::authorities::{Objection, noting};
use super::super::standing::Standing;
use super::pki::{Ca, Credentials, Pki, limits};
use super::server::Server;

const URI: &[&str] = &["spiffe://example.org/ci"];
const CI: &str = "uri:spiffe://example.org/ci";

/// Some hours beyond jiff's last instant.
fn no_end(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
}

fn ended(params: &mut CertificateParams) {
    params.not_after = OffsetDateTime::now_utc() - Duration::from_mins(1);
}

fn not_begun(params: &mut CertificateParams) {
    params.not_before = OffsetDateTime::now_utc() + Duration::from_hours(1);
}

fn soon(params: &mut CertificateParams) {
    params.not_after = OffsetDateTime::now_utc() + Duration::from_secs(2);
}

/// The files of a gateway whose one client CA is `ca`.
fn trusting(ca: &Ca) -> Pki {
    let mut pki = Pki::new();
    pki.settings.client_cas.clear();
    pki.trust("clients.pem", &ca.pem(), "example.org");
    pki
}

/// A client with the certificates of `above` behind its own.
fn with_chain(client: Credentials, above: &[&Ca]) -> Credentials {
    let chain = above.iter().map(|ca| ca.pem()).collect::<String>();
    Credentials { certificate: client.certificate + &chain, key: client.key }
}

fn chain(credentials: &Credentials) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(credentials.certificate.as_bytes()).map(Result::unwrap).collect()
}

/// The error of a handshake with this certificate, and what was noted with it.
async fn refusal(tls: &Tls, credentials: &Credentials) -> String {
    use rustls::server::danger::ClientCertVerifier;

    let chain = chain(credentials);
    let verify = async { tls.authorities.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).map(drop) };
    let (result, note) = noting(verify).await;
    format!("{}: {}", result.unwrap_err(), note.unwrap_or_default())
}

#[tokio::test]
async fn certificates_and_lists_without_an_end_are_taken() {
    let ca = Ca::with("client CA", no_end);
    let mut pki = trusting(&ca);
    let list = ca.list_until(rcgen::date_time_ymd(9999, 12, 31), &[7]);
    pki.revoke("crl.pem", &list);
    let server = pki.ca.server_with(no_end);
    pki.settings.certificate = pki.write("server.pem", &server.certificate);
    pki.settings.key = pki.write("server-key.pem", &server.key);
    let server = Server::start(&pki, &limits());

    assert_eq!(server.ask(&pki, &ca.client(URI, no_end)).await.unwrap(), CI);
    let revoked = ca.client(URI, |params| params.serial_number = Some(7_u64.into()));
    assert!(server.ask(&pki, &revoked).await.is_err());
    let status = server.live.status();
    let final_instant = "9999-12-30T22:00:00Z";
    for end in [status.server_not_after, status.client_ca_not_after, status.crl_next_update.unwrap()] {
        assert_eq!(end.to_string(), final_instant);
    }
    let seconds = Timestamp::MAX.as_second().to_string();
    for kind in ["server", "client_ca"] {
        assert_eq!(server.metric(&format!("certificate_not_after_seconds{{kind=\"{kind}\"}}")), seconds);
    }
}

#[tokio::test]
async fn certificates_from_before_1970_are_taken_where_the_verifier_reads_them() {
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(1950, 1, 1);
    let ca = Ca::with("client CA", early);
    let pki = trusting(&ca);
    let server = Server::start(&pki, &limits());
    assert_eq!(server.ask(&pki, &ca.client(URI, |_| {})).await.unwrap(), CI);
    // The one of a client is not: it gets an alert, and the log says why.
    let client = ca.client(URI, |params| {
        early(params);
        params.distinguished_name.push(rcgen::DnType::CommonName, "old");
    });
    assert!(server.ask(&pki, &client).await.is_err());
    assert_eq!(server.metric("handshakes_total{outcome=\"bad_certificate\"}"), "1");
    let told = refusal(&server.live.tls(), &client).await;
    assert!(told.ends_with(": BadEncoding: \"CN=old\" begins before 1970"), "{told}");
}

#[tokio::test]
async fn a_client_ca_that_has_ended_or_not_begun_lets_nobody_in_and_does_not_keep_the_gateway_from_starting() {
    let alerts =
        [(ended as fn(&mut CertificateParams), "certificate expired"), (not_begun, "certificate not valid yet")];
    for (change, cause) in alerts {
        let ca = Ca::with("client CA", change);
        let pki = trusting(&ca);
        let server = Server::start(&pki, &limits());
        let client = ca.client(URI, |_| {});
        let mut connection = server.connect(&pki, Some(&client)).await.unwrap();
        let alert = connection.ask("/").await.unwrap_err().to_string();
        assert!(alert.contains("CertificateExpired"), "{alert}");
        assert_eq!(server.metric("handshakes_total{outcome=\"bad_certificate\"}"), "1");

        let tls = server.live.tls();
        let told = refusal(&tls, &client).await;
        assert!(
            told.contains(cause) && told.ends_with("this is the certificate of the client CA CN=client CA"),
            "{told}"
        );
        let [warning] = tls.authorities.warnings.as_slice() else { panic!("{:?}", tls.authorities.warnings) };
        assert!(
            warning.contains("clients.pem: block 1 (line 1, \"CN=client CA\"): client CA CN=client CA "),
            "{warning}"
        );
        assert!(warning.ends_with(": its clients are refused"), "{warning}");
    }
}

#[tokio::test]
async fn an_ended_client_ca_beside_a_good_one_vouches_for_nothing() {
    let (old, other) = (Ca::with("client CA", ended), Ca::new("other CA"));
    let mut pki = trusting(&old);
    pki.trust("renewed.pem", &old.renewed("client CA", |_| {}).pem(), "example.org");
    pki.trust("other.pem", &other.pem(), "other.org");
    let server = Server::start(&pki, &limits());
    assert_eq!(server.ask(&pki, &old.client(URI, |_| {})).await.unwrap(), CI, "by the certificate that came after");

    // The same key for another trust domain, by a certificate that has ended.
    let mut pki = trusting(&old.renewed("client CA", |_| {}));
    pki.trust("old.pem", &old.pem(), "other.org");
    let server = Server::start(&pki, &limits());
    let told = server.ask(&pki, &old.client(&["spiffe://other.org/ci"], |_| {})).await.unwrap();
    assert!(told.ends_with("its ca may only issue for example.org"), "{told}");
}

#[tokio::test]
async fn an_intermediate_ca_that_has_ended_or_not_begun_lets_nobody_in() {
    let root = Ca::new("root CA");
    let pki = trusting(&root);
    let server = Server::start(&pki, &limits());
    let ask = |ca: &Ca| with_chain(ca.client(URI, |_| {}), &[ca]);
    assert_eq!(server.ask(&pki, &ask(&root.below("between", |_| {}))).await.unwrap(), CI);
    for change in [ended, not_begun] {
        assert!(server.ask(&pki, &ask(&root.below("between", change))).await.is_err());
    }
    assert_eq!(server.metric("handshakes_total{outcome=\"bad_certificate\"}"), "2");
}

#[test]
fn a_certificate_above_the_servers_that_has_ended_or_not_begun_is_a_warning() {
    let mut pki = Pki::new();
    let own = std::fs::read_to_string(&pki.settings.certificate).unwrap();
    let line = own.lines().count() + pki.ca.pem().lines().count() + 1;
    for (change, when) in [(ended as fn(&mut CertificateParams), "expired at "), (not_begun, "is not valid before ")] {
        let chain = [own.clone(), pki.ca.pem(), Ca::with("old root", change).pem()].concat();
        pki.settings.certificate = pki.write("chain.pem", &chain);
        let warnings = Tls::load(&pki.settings).unwrap().server.warnings(Timestamp::now());
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        let place = format!("chain.pem: block 3 (line {line}, \"CN=old root\"): the certificate {when}");
        assert!(warning.contains(&place) && warning.ends_with("clients that need it will refuse the server's"));
    }
}

#[tokio::test]
async fn a_connection_ends_with_the_first_certificate_above_its_own() {
    let root = Ca::with("root CA", soon);
    let pki = trusting(&root);
    let server = Server::start(&pki, &limits());
    let mut connection = server.connect(&pki, Some(&root.client(URI, |_| {}))).await.unwrap();
    assert_eq!(connection.ask("/").await.unwrap(), CI);
    connection.ended().await;
    server.ended("expired", 1).await;

    let root = Ca::new("root CA");
    let pki = trusting(&root);
    let server = Server::start(&pki, &limits());
    let between = root.below("between", soon);
    let client = with_chain(between.client(URI, |_| {}), &[&between]);
    let mut connection = server.connect(&pki, Some(&client)).await.unwrap();
    assert_eq!(connection.ask("/").await.unwrap(), CI);
    connection.ended().await;
    server.ended("expired", 1).await;
}

#[test]
fn a_chain_ends_with_the_last_of_the_cas_that_vouch_for_it() {
    let until = |year| move |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let end = |pki: &Pki, client: &Credentials| {
        let tls = Tls::load(&pki.settings).unwrap();
        let (authorities, chain) = (&tls.authorities, chain(client));
        authorities.end(&chain, &authorities.identify(&chain).map(Arc::new)).to_string()
    };
    let old = Ca::with("client CA", until(2050));
    let client = old.client(URI, until(2080));
    let mut pki = trusting(&old);
    assert_eq!(end(&pki, &client), "2050-01-01T00:00:00Z");
    // A namesake with another key does not vouch for it.
    pki.trust("namesake.pem", &Ca::new("client CA").pem(), "example.org");
    assert_eq!(end(&pki, &client), "2050-01-01T00:00:00Z");
    // The end of a list ends no connection.
    pki.revoke("crl.pem", &old.revocation_list(&[], 2040));
    assert_eq!(end(&pki, &client), "2050-01-01T00:00:00Z");
    pki.trust("renewed.pem", &old.renewed("client CA", until(2060)).pem(), "example.org");
    assert_eq!(end(&pki, &client), "2060-01-01T00:00:00Z");
    pki.trust("again.pem", &old.renewed("client CA", |_| {}).pem(), "example.org");
    assert_eq!(end(&pki, &client), "2080-01-01T00:00:00Z", "that of its own");
    let over = trusting(&old.renewed("client CA", ended));
    let end_of_over = end(&over, &client).parse::<Timestamp>().unwrap();
    assert!(end_of_over <= Timestamp::now(), "it ended since the handshake");
    let many: Vec<_> = (2041..2079).map(|year| Ca::with("unrelated", until(year))).collect();
    let many = with_chain(client, &many.iter().collect::<Vec<_>>());
    assert!(*end(&pki, &many) < *"2080", "what is looked at is bounded");
}

#[test]
fn a_namesake_of_the_ca_with_another_kind_of_key_hides_no_objection() {
    let ca = Ca::new("client CA");
    let namesake = Ca::with_key("client CA", KeyPair::generate_for(&PKCS_ED25519).unwrap());
    let chain = chain(&ca.client(URI, |_| {}));
    for (serials, until, objection) in [
        (&[][..], 2080, None),
        (&[1], 2080, Some(Objection::Revoked)),
        // The list has ended: it says nothing new.
        (&[], 2001, None),
        (&[1], 2001, Some(Objection::Revoked)),
    ] {
        let mut pki = trusting(&ca);
        pki.trust("namesake.pem", &namesake.pem(), "example.org");
        pki.revoke("crl.pem", &ca.revocation_list(serials, until));
        let tls = Tls::load(&pki.settings).unwrap();
        let named = tls.authorities.identify(&chain).map(Arc::new);
        assert_eq!(tls.authorities.objection(&chain, &named), objection, "{serials:?} until {until}");
    }
}

#[test]
fn a_denied_client_is_objected_to_also_while_the_list_of_its_ca_has_expired() {
    let ca = Ca::new("client CA");
    let chain = chain(&ca.client(URI, |_| {}));
    for domains in [&["example.org"][..], &["example.org", "other.org"]] {
        for until in [2001, 2080] {
            let mut pki = trusting(&ca);
            for domain in domains {
                pki.trust(&format!("{domain}.pem"), &ca.pem(), domain);
            }
            let named = Tls::load(&pki.settings).unwrap().authorities.identify(&chain).map(Arc::new);
            assert_eq!(named.as_ref().unwrap().id().as_str(), "uri:spiffe://example.org/ci");
            pki.revoke("crl.pem", &ca.revocation_list(&[], until));
            for list in ["identities: ['uri:spiffe://example.org/ci']", "serials: ['1']"] {
                pki.settings.denied = Some(pki.write("denied.yaml", list));
                let tls = Tls::load(&pki.settings).unwrap();
                assert_eq!(tls.authorities.objection(&chain, &named), Some(Objection::Denied), "{list} until {until}");
            }
        }
    }
}

#[tokio::test]
async fn a_reload_moves_the_end_of_open_connections() {
    let ca = Ca::with("client CA", soon);
    let pki = trusting(&ca);
    pki.mount();
    let server = Server::start(&pki, &limits());
    let client = ca.client(URI, |_| {});
    let mut standing = Standing::new(&chain(&client), &server.live.tls());
    assert!(standing.life().unwrap() <= Duration::from_secs(2));
    pki.swap(&[("clients.pem", Some(&ca.renewed("client CA", |_| {}).pem()))]);
    server.look().await;
    assert!(!standing.review(&server.live.tls()));
    assert!(standing.life().unwrap() > Duration::from_hours(1));
}

#[tokio::test]
async fn the_missing_certificate_is_named_in_text_that_a_stranger_cannot_forge() {
    let root = Ca::new("root CA");
    let between = root.below("between", |_| {});
    let named =
        |ca: &Ca, name: &str| ca.client(URI, |params| params.distinguished_name.push(rcgen::DnType::CommonName, name));
    let client = named(&between, "ci");
    let tls = Tls::load(&trusting(&root).settings).unwrap();
    let told = refusal(&tls, &client).await;
    let wanted = "invalid peer certificate: UnknownIssuer: \"CN=ci\" is issued by \"CN=between\", which is no client CA, \
                  and which the client did not send";
    assert_eq!(told, wanted);

    let strange = Ca::new("strange CA");
    let below = strange.below("between", |_| {});
    let told = refusal(&tls, &with_chain(named(&below, "ci"), &[&below, &strange])).await;
    assert!(told.contains(": \"CN=strange CA\" is issued by \"CN=strange CA\", which is no client CA"), "{told}");

    let told = refusal(&tls, &named(&Ca::new("root CA"), "ci")).await;
    assert!(told.contains(": \"CN=ci\" is not signed by the client CA \"CN=root CA\", but by another"), "{told}");

    // A SPIFFE certificate has no subject.
    let told = refusal(&tls, &between.client(URI, |_| {})).await;
    assert!(
        told.contains(": \"spiffe://example.org/ci\" is issued by \"CN=between\", which is no client CA"),
        "{told}"
    );
    let told = refusal(&tls, &between.client(&[], |_| {})).await;
    assert!(told.contains(": serial number \"01\" is issued by \"CN=between\""), "{told}");

    let forged = format!("x\n\u{202e}{}", "y".repeat(10_000));
    let told = refusal(&tls, &named(&Ca::new(&forged), "ci")).await;
    assert!(told.contains("\"CN=x\\n\\u{202e}yyy") && told.len() < 500 && !told.contains('\n'), "{told}");
}

#[tokio::test]
async fn each_refusal_names_the_certificate_that_is_refused() {
    let root = Ca::new("root CA");
    let mut pki = trusting(&root);
    pki.revoke("crl.pem", &root.revocation_list(&[7], 2080));
    let tls = Tls::load(&pki.settings).unwrap();
    let serial = |number: u64| move |params: &mut CertificateParams| params.serial_number = Some(number.into());
    let server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    };
    let clients = "the client's certificate is \"spiffe://example.org/ci\"";
    let below = |ca: &Ca| with_chain(ca.client(URI, |_| {}), &[ca]);
    let between = "this is the intermediate certificate \"CN=between\" of the client \"spiffe://example.org/ci\"";
    for (client, cause, named) in [
        (root.client(URI, ended), "certificate expired", clients),
        (root.client(URI, not_begun), "certificate not valid yet", clients),
        (root.client(URI, serial(7)), "Revoked", clients),
        (root.client(URI, server), "certificate does not allow extended key usage", clients),
        (below(&root.below("between", ended)), "certificate expired", between),
        (below(&root.below("between", not_begun)), "certificate not valid yet", between),
        (below(&root.below("between", serial(7))), "Revoked", clients),
    ] {
        let told = refusal(&tls, &client).await;
        assert!(told.contains(cause) && told.ends_with(&format!(": {named}")), "{told}");
    }

    pki.write("crl.pem", &root.revocation_list(&[], 2001));
    let told = refusal(&Tls::load(&pki.settings).unwrap(), &root.client(URI, |_| {})).await;
    assert!(told.contains("certificate revocation list expired") && told.ends_with(&format!(": {clients}")), "{told}");
}

#[tokio::test]
async fn a_chain_that_would_take_long_to_put_together_is_refused_before_it_is_tried() {
    let tls = Tls::load(&trusting(&Ca::new("root CA")).settings).unwrap();
    let namesakes: Vec<_> = (0..10).map(|_| Ca::new("namesake")).collect();
    let client = namesakes[0].client(URI, |_| {});
    let told = refusal(&tls, &with_chain(client, &namesakes.iter().collect::<Vec<_>>())).await;
    let wanted = "invalid peer certificate: UnknownIssuer: the client sends 10 intermediate certificates, 4 at most";
    assert_eq!(told, wanted);
}

#[test]
fn what_cannot_be_read_behind_the_handshake_names_nobody_and_is_answered() {
    let tls = Tls::load(&Pki::new().settings).unwrap();
    for chain in [vec![], vec![CertificateDer::from(b"garbage".to_vec())]] {
        let standing = Standing::new(&chain, &tls);
        assert!(standing.identity().is_err());
        assert!(standing.life().is_some() && standing.objection().is_none());
    }
}
