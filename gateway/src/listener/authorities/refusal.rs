//! What the log should say of a refused certificate beyond the error, which has no room for names.
//!
//! The verifier answers within the poll of a connection's own handshake, so what it notes belongs to that connection.

use std::cell::RefCell;
use std::future::Future;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::authority::Authority;
use crate::identity::der;
use crate::identity::text::excerpt;

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
    let (issuer, subject) = (excerpt(&last.issuer().to_string()), excerpt(&last.subject().to_string()));
    let is_namesake = |authority: &Authority| authority.mark.identity.0 == last.issuer().as_raw();
    Some(if authorities.iter().any(is_namesake) {
        format!("{subject} is not signed by the client CA {issuer}, but by another of this name")
    } else {
        format!("{subject} is issued by {issuer}, which is no client CA, and which the client did not send")
    })
}

/// Which certificate of a chain has a time that webpki does not read, which calls it an encoding.
pub(super) fn unread_time(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Option<String> {
    let chain = std::iter::once(leaf).chain(intermediates.iter().take(MAX_CHAIN));
    let certificates = chain.filter_map(|der| der::certificate(der).ok());
    let mut early = certificates.filter(|certificate| certificate.validity().not_before.timestamp() < 0);
    early.next().map(|early| format!("{} begins before 1970", excerpt(&early.subject().to_string())))
}
