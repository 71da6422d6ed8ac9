//! What the log should say of a refused certificate beyond the error, which has no room for names.
//!
//! The verifier answers within the poll of a connection's own handshake, so what it notes belongs to that connection.

use std::cell::RefCell;
use std::future::Future;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;

use super::authority::Authority;
use crate::identity::{Validity, der};

/// Certificates of a chain that are looked at.
const MAX_CHAIN: usize = 16;

tokio::task_local! {
    static NOTE: RefCell<Option<String>>;
}

/// Does a handshake; what came of it, and what was noted meanwhile.
pub(in crate::listener) async fn noting<T>(handshake: impl Future<Output = T>) -> (T, Option<String>) {
    let both = async {
        let outcome = handshake.await;
        (outcome, NOTE.with(RefCell::take))
    };
    NOTE.scope(RefCell::default(), both).await
}

/// Notes a text, where somebody listens.
pub(super) fn note(text: impl FnOnce() -> Option<String>) {
    // A review of an open connection asks the same verifier, and logs by itself.
    let _ = NOTE.try_with(|note| note.replace(text()));
}

/// Which certificate is missing between a chain and the CAs. The names come from a stranger: they are escaped and cut.
pub(super) fn missing_issuer(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    authorities: &[Authority],
) -> Option<String> {
    let others: Vec<_> = intermediates.iter().take(MAX_CHAIN).filter_map(|der| der::certificate(der).ok()).collect();
    let mut last = der::certificate(leaf).ok()?;
    for _ in 0..=others.len() {
        let is_issuer = |other: &&X509Certificate<'_>| {
            other.subject().as_raw() == last.issuer().as_raw() && other.as_ref() != last.as_ref()
        };
        match others.iter().find(is_issuer) {
            Some(issuer) => last = issuer.clone(),
            None => break,
        }
    }
    let (issuer, subject) = (der::excerpt_of(last.issuer()), der::name(&last));
    let issuer = issuer.unwrap_or_else(|| "a CA without a name".to_owned());
    let is_namesake = |authority: &Authority| authority.mark.identity.0 == last.issuer().as_raw();
    Some(if authorities.iter().any(is_namesake) {
        format!("{subject} is not signed by the client CA {issuer}, but by another of this name")
    } else {
        format!("{subject} is issued by {issuer}, which is no client CA, and which the client did not send")
    })
}

/// Which certificate of a chain its CAs refuse: the one outside its validity, if it is an intermediate; else the client's.
pub(super) fn refused(
    error: &Error,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Option<String> {
    use CertificateError::{BadEncoding, Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let client = der::certificate(leaf).ok()?;
    let others: Vec<_> = intermediates.iter().take(MAX_CHAIN).filter_map(|der| der::certificate(der).ok()).collect();
    let now = Timestamp::now();
    let is_current = |certificate: &&X509Certificate<'_>| Validity::of(certificate).contains(now);
    let note = match error {
        // webpki calls a time that it does not read an encoding.
        Error::InvalidCertificate(BadEncoding) => {
            let mut all = std::iter::once(&client).chain(&others);
            let early = all.find(|certificate| certificate.validity().not_before.timestamp() < 0);
            early.map(|early| format!("{} begins before 1970", der::name(early)))
        }
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
            if is_current(&&client) =>
        {
            let above = others.iter().find(|certificate| !is_current(certificate));
            let client = der::name(&client);
            above.map(|above| {
                format!("this is the intermediate certificate {} of the client {client}", der::name(above))
            })
        }
        _ => None,
    };
    note.or_else(|| Some(format!("the client's certificate is {}", der::name(&client))))
}
