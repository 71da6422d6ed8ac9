//! Certificates, keys and lists that change while the server runs.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::pki::{Ca, Credentials, Pki, limits};
use super::server::{Server, get, http2_ended};

const CI: &str = "uri:spiffe://example.org/ci";
const REVOKED: u64 = 7;

/// Mounted files with a revocation list, number 5, from 2010 on.
fn mounted() -> Pki {
    let mut pki = Pki::new();
    let list = pki.ca.numbered_list(5, 2010..2090, &[]);
    pki.revoke("crl.pem", &list);
    pki.mount();
    pki
}

/// A client whose certificate a later list revokes.
fn to_be_revoked(pki: &Pki) -> Credentials {
    pki.ca.client(&["spiffe://example.org/ci"], |params| params.serial_number = Some(REVOKED.into()))
}

fn revoking(pki: &Pki) -> String {
    pki.ca.numbered_list(6, 2011..2090, &[REVOKED])
}

fn der(credentials: &Credentials) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(credentials.certificate.as_bytes()).unwrap()
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_open_ones_go_on() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let mut http1 = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let mut http2 = server.connect_http2(&pki, &pki.ci()).await;
    assert_eq!(http1.server_certificate(), CertificateDer::from_pem_slice(pki.read("server.pem").as_bytes()).unwrap());
    let secret = server.live.secret();

    let renewed = pki.ca.server();
    pki.swap(&[("server.pem", Some(&renewed.certificate)), ("server-key.pem", Some(&renewed.key))]);
    server.look().await;

    let late = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    assert_eq!(late.server_certificate(), der(&renewed));
    assert_eq!(http1.ask("/").await.unwrap(), CI);
    assert_eq!(http2.send_request(get("/")).await.unwrap().status(), 200);
    assert_eq!(server.metric("tls_reloads_total{outcome=\"ok\"}"), "2");
    assert!(secret.has_changed().unwrap());
}

#[tokio::test]
async fn files_that_are_written_anew_but_hold_the_same_change_nothing() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let (before, secret) = (server.live.status(), server.live.secret());
    pki.swap(&[]);
    server.look().await;
    assert_eq!(server.live.status(), before);
    assert!(!secret.has_changed().unwrap());
    assert_eq!(server.metric("tls_reloads_total{outcome=\"ok\"}"), "2");
}

#[tokio::test]
async fn a_new_end_is_told_by_the_metrics_and_the_status() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let list = pki.ca.numbered_list(6, 2011..2060, &[]);
    pki.swap(&[("crl.pem", Some(&list))]);
    server.look().await;
    let end = server.live.status().crl_next_update.unwrap();
    assert_eq!(end.to_string(), "2060-01-01T00:00:00Z");
    assert_eq!(server.metric("crl_next_update_seconds"), end.as_second().to_string());
}

#[tokio::test]
async fn whatever_is_worse_than_what_serves_is_told_and_does_not_take_its_place() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let original = ["server.pem", "server-key.pem", "ca.pem", "crl.pem"].map(|name| (name, pki.read(name)));
    let renewed = pki.ca.server();
    let expired = pki.ca.issue(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = pki.ca.issue(|params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let (by_number, by_time) = (pki.ca.numbered_list(4, 2011..2090, &[]), pki.ca.numbered_list(6, 2009..2090, &[]));
    let over = pki.ca.numbered_list(6, 2011..2020, &[]);
    let (other, namesake) = (Ca::new("other CA").numbered_list(6, 2011..2090, &[]), Ca::new("test CA"));
    let forged = namesake.numbered_list(6, 2011..2090, &[]);
    // A forged list beside an old one must not make the old one new.
    let with_forged = pki.ca.forged_list(&namesake, 1_000_000, 2020..2090) + &by_number;
    let glued = pki.ca.pem().trim_end().to_owned() + &Ca::new("other CA").pem();
    let ended = pki.ca.renewed("test CA", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let garbage = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let pair = |new: &Credentials| {
        vec![("server.pem", Some(new.certificate.clone())), ("server-key.pem", Some(new.key.clone()))]
    };
    let crl = |list: &str| vec![("crl.pem", Some(list.to_owned()))];
    for (changes, reason) in [
        (
            vec![("server.pem", Some(renewed.certificate.clone()))],
            "does not hold the private key of the certificate in",
        ),
        (vec![("server-key.pem", Some(renewed.key.clone()))], "does not hold the private key of the certificate in"),
        (vec![("server.pem", Some("garbage".to_owned()))], "server.pem: contains no certificate"),
        (vec![("server-key.pem", None)], "server-key.pem: cannot be read"),
        (pair(&expired), "the new certificate has ended at 2020-01-01"),
        (pair(&early), "the new certificate holds from 4000-01-01"),
        (vec![("ca.pem", Some(String::new()))], "ca.pem: contains no certificate"),
        (vec![("ca.pem", Some(renewed.certificate.clone()))], "is no CA's certificate"),
        (vec![("ca.pem", Some(glued.clone()))], "ca.pem: is not valid PEM: line "),
        (vec![("server.pem", Some(glued))], "server.pem: is not valid PEM: line "),
        (crl(&(pki.read("crl.pem").trim_end().to_owned() + &revoking(&pki))), "crl.pem: is not valid PEM: line "),
        (vec![("ca.pem", Some(ended.pem()))], "none of the new client CAs of trust domain example.org is valid now"),
        (crl(garbage), "crl.pem: block 1 (line 1): is not a valid revocation list"),
        (crl(&by_number), "the revocation list of CN=test CA is older than the one that serves"),
        (crl(&with_forged), "the revocation list of CN=test CA is older than the one that serves"),
        (crl(&by_time), "the revocation list of CN=test CA is older than the one that serves"),
        (crl(&over), "the new revocation list of CN=test CA is past its nextUpdate"),
        (crl(&other), "client CA CN=test CA had a revocation list and has none now"),
        (crl(&forged), "is not signed by the client CA of that name"),
    ] {
        let changes: Vec<_> = changes.iter().map(|(name, content)| (*name, content.as_deref())).collect();
        pki.swap(&changes);
        server.look().await;
        let told = server.live.status().last_error.map(|error| error.message).unwrap_or_default();
        assert!(told.contains(reason), "{reason}: {told}");
        assert_eq!(server.metric("tls_reload_failing"), "1", "{reason}");
        let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
        assert_eq!(connection.ask("/").await.unwrap(), CI, "{reason}");
        assert_ne!(connection.server_certificate(), der(&renewed), "{reason}");

        pki.swap(&original.each_ref().map(|(name, content)| (*name, Some(content.as_str()))));
        server.look().await;
        assert_eq!(server.live.status().last_error, None, "{reason}");
        assert_eq!(server.metric("tls_reload_failing"), "0", "{reason}");
    }
}

#[tokio::test]
async fn half_a_change_serves_as_soon_as_it_is_whole() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let renewed = pki.ca.server();
    pki.swap(&[("server.pem", Some(&renewed.certificate))]);
    server.look().await;
    assert!(server.live.status().last_error.is_some());
    pki.swap(&[("server-key.pem", Some(&renewed.key))]);
    server.look().await;
    assert_eq!(server.connect(&pki, Some(&pki.ci())).await.unwrap().server_certificate(), der(&renewed));
}

#[tokio::test]
async fn a_revoked_client_gets_its_last_answers_and_loses_its_connections_and_nobody_else_does() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let revoked = to_be_revoked(&pki);
    let mut http1 = server.connect(&pki, Some(&revoked)).await.unwrap();
    let mut http2 = server.connect_http2(&pki, &revoked).await;
    let mut other_http1 = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let mut other_http2 = server.connect_http2(&pki, &pki.ci()).await;

    let rotate = async {
        server.script.entered.notified().await;
        server.script.entered.notified().await;
        pki.swap(&[("crl.pem", Some(&revoking(&pki)))]);
        server.look().await;
        server.ended("revoked", 2).await;
        server.script.released.notify_one();
        server.script.released.notify_one();
        server.script.released.notify_waiters();
    };
    let one = async {
        http1.send("GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        http1.answer().await.unwrap()
    };
    let (one, two, ()) = tokio::join!(one, http2.send_request(get("/wait")), rotate);
    assert!(one.contains("connection: close") && one.ends_with(CI), "{one}");
    assert_eq!(two.unwrap().status(), 200);
    http1.ended().await;
    http2_ended(&mut http2).await;

    assert_eq!(other_http1.ask("/").await.unwrap(), CI);
    assert_eq!(other_http2.send_request(get("/")).await.unwrap().status(), 200);
    assert!(server.ask(&pki, &revoked).await.is_err());
    assert_eq!(server.metric("connections_ended_total{reason=\"revoked\"}"), "2");
}

#[tokio::test]
async fn idle_connections_of_a_revoked_client_end_at_once() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let revoked = to_be_revoked(&pki);
    let mut http1 = server.connect(&pki, Some(&revoked)).await.unwrap();
    http1.ask("/").await.unwrap();
    let mut http2 = server.connect_http2(&pki, &revoked).await;
    http2.send_request(get("/")).await.unwrap();
    pki.swap(&[("crl.pem", Some(&revoking(&pki)))]);
    server.look().await;
    http1.ended().await;
    http2_ended(&mut http2).await;
}

#[tokio::test]
async fn the_farewell_of_a_revoked_client_is_bounded() {
    let pki = mounted();
    let server = Server::start(&pki, &limits());
    let revoked = to_be_revoked(&pki);
    let mut http1 = server.connect(&pki, Some(&revoked)).await.unwrap();
    let mut http2 = server.connect_http2(&pki, &revoked).await;
    let rotate = async {
        server.script.entered.notified().await;
        server.script.entered.notified().await;
        pki.swap(&[("crl.pem", Some(&revoking(&pki)))]);
        server.look().await;
        server.ended("revoked", 2).await;
        // From here on time passes as fast as nothing else happens.
        tokio::time::pause();
    };
    let (one, two, ()) = tokio::join!(http1.ask("/wait"), http2.send_request(get("/wait")), rotate);
    assert!(one.is_err() && two.is_err());
}

#[tokio::test]
async fn connections_end_when_the_ca_of_their_client_leaves() {
    let mut pki = Pki::new();
    let other = Ca::new("other CA");
    let (own, both) = (pki.ca.pem(), pki.ca.pem() + &other.pem());
    pki.settings.client_cas.clear();
    pki.trust("ca.pem", &both, "example.org");
    pki.mount();
    let server = Server::start(&pki, &limits());
    let leaver = other.client(&["spiffe://example.org/ci"], |_| {});
    let mut http1 = server.connect(&pki, Some(&leaver)).await.unwrap();
    assert_eq!(http1.ask("/").await.unwrap(), CI);
    let mut http2 = server.connect_http2(&pki, &leaver).await;
    let mut stays = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    pki.swap(&[("ca.pem", Some(&own))]);
    server.look().await;
    http1.ended().await;
    http2_ended(&mut http2).await;
    server.ended("untrusted", 2).await;
    assert_eq!(stays.ask("/").await.unwrap(), CI);

    pki.swap(&[("ca.pem", Some(&both))]);
    server.look().await;
    assert_eq!(server.ask(&pki, &leaver).await.unwrap(), CI, "a CA may come back");
}

#[tokio::test]
async fn a_connection_ends_when_its_ca_speaks_for_another_trust_domain() {
    let mut pki = Pki::new();
    let other = Ca::new("other CA");
    pki.trust("other.pem", &other.pem(), "other.org");
    pki.mount();
    let server = Server::start(&pki, &limits());
    let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    assert_eq!(connection.ask("/").await.unwrap(), CI);
    pki.swap(&[("ca.pem", Some(&other.pem())), ("other.pem", Some(&pki.ca.pem()))]);
    server.look().await;
    connection.ended().await;
    server.ended("renamed", 1).await;
    let told = server.ask(&pki, &pki.ci()).await.unwrap();
    assert!(told.ends_with("its ca may only issue for other.org"), "{told}");
}

#[tokio::test]
async fn a_list_that_appears_is_asked_about_open_connections() {
    let mut pki = Pki::new();
    let other = Ca::new("other CA");
    pki.revoke("crl.pem", &other.revocation_list(&[], 2090));
    pki.mount();
    let server = Server::start(&pki, &limits());
    let mut connection = server.connect(&pki, Some(&to_be_revoked(&pki))).await.unwrap();
    assert_eq!(connection.ask("/").await.unwrap(), CI);
    pki.swap(&[("crl.pem", Some(&(pki.read("crl.pem") + &revoking(&pki))))]);
    server.look().await;
    connection.ended().await;
    server.ended("revoked", 1).await;
}

#[tokio::test]
async fn a_ca_is_replaced_by_one_of_the_same_name_with_both_serving_in_between() {
    let mut pki = Pki::new();
    let (first, second) = (Ca::new("client CA"), Ca::new("client CA"));
    let lists = [&first, &second].map(|ca| ca.revocation_list(&[REVOKED], 2090));
    pki.settings.client_cas.clear();
    pki.trust("clients.pem", &first.pem(), "example.org");
    pki.revoke("crl.pem", &lists[0]);
    pki.mount();
    let server = Server::start(&pki, &limits());
    let clients = [&first, &second].map(|ca| ca.client(&["spiffe://example.org/ci"], |_| {}));
    let mut old = server.connect(&pki, Some(&clients[0])).await.unwrap();
    old.ask("/").await.unwrap();

    pki.swap(&[("clients.pem", Some(&(first.pem() + &second.pem()))), ("crl.pem", Some(&lists.concat()))]);
    server.look().await;
    assert_eq!(server.live.status().last_error, None);
    for (ca, client) in [&first, &second].into_iter().zip(&clients) {
        assert_eq!(server.ask(&pki, client).await.unwrap(), CI);
        let revoked = ca.client(&["spiffe://example.org/ci"], |params| params.serial_number = Some(REVOKED.into()));
        assert!(server.ask(&pki, &revoked).await.is_err());
    }
    assert_eq!(old.ask("/").await.unwrap(), CI);

    // The old one's list may stay a while.
    pki.swap(&[("clients.pem", Some(&second.pem()))]);
    server.look().await;
    assert_eq!(server.live.status().last_error, None);
    old.ended().await;
    assert_eq!(server.ask(&pki, &clients[1]).await.unwrap(), CI);
}

#[tokio::test]
async fn connections_verify_their_chains_again_one_after_the_other_and_go_on_meanwhile() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let turn = server.live.reviews().acquire().await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
        connection.ask("/").await.unwrap();
        connections.push(connection);
    }
    pki.write("ca.pem", &Ca::new("another CA").pem());
    server.look().await;
    for connection in &mut connections {
        assert_eq!(connection.ask("/").await.unwrap(), CI, "it waits for its turn");
    }
    drop(turn);
    for connection in connections {
        connection.ended().await;
    }
}
