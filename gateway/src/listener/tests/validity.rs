//! From when to when certificates are good: those of clients, of the CAs above them, and the server's.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;

use super::super::standing::Standing;
use super::super::{Tls, config};
use super::pki::{Ca, Pki, limits};
use super::server::Server;

const URI: &[&str] = &["spiffe://example.org/ci"];
const CI: &str = "uri:spiffe://example.org/ci";

/// Some hours beyond jiff's last instant.
fn no_end(params: &mut CertificateParams) {
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
}

/// The files of a gateway whose one client CA is `ca`.
fn trusting(ca: &Ca) -> Pki {
    let mut pki = Pki::new();
    pki.settings.client_cas.clear();
    pki.trust("clients.pem", &ca.pem(), "example.org");
    pki
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
    let server = Server::start(&pki, limits()).await;

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

#[test]
fn what_cannot_be_read_behind_the_handshake_names_nobody_and_is_answered() {
    let tls = Tls::load(&Pki::new().settings).unwrap();
    for chain in [vec![], vec![CertificateDer::from(b"garbage".to_vec())]] {
        let standing = Standing::new(&chain, &tls);
        assert!(standing.identity().is_err());
        assert!(standing.life().is_some() && standing.objection().is_none());
    }
}

#[tokio::test]
async fn a_client_that_finds_no_place_is_counted() {
    let pki = Pki::new();
    let limits = config::Listen { max_connections: 1, handshake_timeout: Duration::from_secs(2), ..limits() };
    let server = Server::start(&pki, limits).await;
    let mut first = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    first.ask("/").await.unwrap();
    assert_eq!(server.metric("connections_refused_total"), "0");
    assert!(server.ask(&pki, &pki.ci()).await.is_err());
    assert_eq!(server.metric("connections_refused_total"), "1");
    assert_eq!(first.ask("/").await.unwrap(), CI);
}
