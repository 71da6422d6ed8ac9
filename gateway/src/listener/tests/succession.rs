//! What may take the place of what serves, by the time.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::authorities::Objection;
use super::super::{SuccessionError, Tls, succession};
use super::pki::{Ca, Credentials, Pki};

fn at(year: i16) -> Timestamp {
    jiff::civil::date(year, 6, 1).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp()
}

/// What is loaded with a server certificate from the one year to the other.
fn serving(pki: &mut Pki, from: i32, until: i32) -> Tls {
    let server = pki.ca.issue(|params| {
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
    });
    pki.settings.certificate = pki.write("server.pem", &server.certificate);
    pki.settings.key = pki.write("server-key.pem", &server.key);
    Tls::load(&pki.settings).unwrap()
}

#[test]
fn a_certificate_that_does_not_hold_replaces_only_one_that_does_not_either() {
    let pki = &mut Pki::new();
    let (old, new) = (serving(pki, 2020, 2030), serving(pki, 2040, 2050));
    let check = |serving, new, year| succession::check(serving, new, at(year));
    assert!(matches!(check(&old, &new, 2025), Err(SuccessionError::Early { .. })));
    assert_eq!(check(&old, &new, 2035), Ok(()));
    assert_eq!(check(&old, &new, 2045), Ok(()));
    assert!(matches!(check(&new, &old, 2045), Err(SuccessionError::Expired { .. })));
    assert_eq!(check(&new, &old, 2055), Ok(()));
    assert_eq!(check(&old, &old, 2055), Ok(()));
}

#[test]
fn a_list_that_has_ended_while_it_served_keeps_nothing_else_out() {
    let pki = &mut Pki::new();
    let list = pki.ca.numbered_list(1, 2010..2040, &[]);
    pki.revoke("crl.pem", &list);
    let old = serving(pki, 2020, 2090);
    let renewed = serving(pki, 2030, 2090);
    assert_eq!(succession::check(&old, &renewed, at(2050)), Ok(()));

    let over = pki.ca.numbered_list(2, 2011..2045, &[]);
    pki.write("crl.pem", &over);
    let over = Tls::load(&pki.settings).unwrap();
    assert_eq!(succession::check(&renewed, &over, at(2050)), Ok(()), "it is the newer one at least");
    assert_eq!(succession::check(&renewed, &over, at(2042)), Ok(()), "it still holds");
    assert!(matches!(succession::check(&over, &renewed, at(2042)), Err(SuccessionError::ListOlder { .. })));
}

#[test]
fn a_list_past_its_next_update_ends_only_the_connections_that_it_revokes() {
    let mut pki = Pki::new();
    let list = pki.ca.numbered_list(1, 2000..2020, &[7]);
    pki.revoke("crl.pem", &list);
    let tls = Tls::load(&pki.settings).unwrap();
    let revoked = pki.ca.client(&["spiffe://example.org/ci"], |params| params.serial_number = Some(7_u64.into()));
    let objection = |credentials: &Credentials| {
        let chain = [CertificateDer::from_pem_slice(credentials.certificate.as_bytes()).unwrap()];
        let identity = tls.authorities.identify(&chain).map(Arc::new);
        tls.authorities.objection(&chain, &identity)
    };
    assert_eq!(objection(&pki.ci()), None);
    assert_eq!(objection(&revoked), Some(Objection::Revoked));
}

#[test]
fn each_of_several_lists_past_their_next_updates_still_revokes() {
    let mut pki = Pki::new();
    let other = Ca::new("another CA");
    pki.trust("other.pem", &other.pem(), "example.net");
    let (earlier, later) = (pki.ca.numbered_list(1, 2000..2010, &[]), other.numbered_list(1, 2000..2020, &[7]));
    pki.revoke("earlier.pem", &earlier);
    pki.revoke("later.pem", &later);
    let tls = Tls::load(&pki.settings).unwrap();
    let objection = |serial: u64| {
        // Issued after the other list had ended.
        let client = other.client(&["spiffe://example.net/ci"], |params| {
            params.not_before = rcgen::date_time_ymd(2015, 1, 1);
            params.serial_number = Some(serial.into());
        });
        let chain = [CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap()];
        tls.authorities.objection(&chain, &tls.authorities.identify(&chain).map(Arc::new))
    };
    assert_eq!(objection(8), None);
    assert_eq!(objection(7), Some(Objection::Revoked));
}
