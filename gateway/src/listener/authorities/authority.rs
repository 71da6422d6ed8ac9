//! One CA of clients, as handshakes ask it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, Error, RootCertStore};

use super::ca::{Ca, CaMark};
use super::error::AuthoritiesError;
use super::objection::Verdict;
use super::revocation::RevocationList;
use crate::identity::{Validity, Voucher};

/// A CA that verifies, and what it may vouch for.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) voucher: Voucher,
    pub(super) mark: CaMark,
    pub(super) validity: Validity,
}

impl Authority {
    /// Makes `ca` verify, with those of `lists` that apply to it.
    pub(super) fn new(
        ca: Ca,
        lists: &[RevocationList],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, AuthoritiesError> {
        let invalid = |cause: String| AuthoritiesError::Ca { place: ca.place.clone(), cause };
        let mut roots = RootCertStore::empty();
        roots.add(ca.der.clone()).map_err(|error| invalid(error.to_string()))?;
        let roots = Arc::new(roots);
        let build = |lists: Vec<CertificateRevocationListDer<'static>>| {
            let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
                .with_crls(lists)
                .enforce_revocation_expiration();
            if ca.mark.has_list { builder } else { builder.allow_unknown_revocation_status() }.build()
        };
        let applying: Vec<_> = lists.iter().filter(|list| list.applies_to(&ca.mark)).collect();
        let verifier = build(applying.iter().map(|list| list.der.clone()).collect()).map_err(|error| {
            let refused = |list: &&&RevocationList| build(vec![list.der.clone()]).is_err();
            match (&error, applying.iter().find(refused)) {
                (VerifierBuilderError::InvalidCrl(cause), Some(list)) => {
                    list.invalid(Error::from(cause.clone()).to_string())
                }
                _ => invalid(error.to_string()),
            }
        })?;
        Ok(Self { verifier, voucher: ca.voucher, mark: ca.mark, validity: ca.validity })
    }

    /// Checks the CA certificate's own validity, which its verifier does not; fails with `ExpiredContext` or
    /// `NotValidYetContext`.
    pub(super) fn check_validity(&self, now: UnixTime) -> Result<(), Error> {
        let unix = |instant: Timestamp| {
            UnixTime::since_unix_epoch(Duration::from_secs(instant.as_second().try_into().unwrap_or(0)))
        };
        let (not_before, not_after) = (unix(self.validity.not_before), unix(self.validity.not_after));
        if now < not_before {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { time: now, not_before }));
        }
        if now > not_after {
            return Err(Error::InvalidCertificate(CertificateError::ExpiredContext { time: now, not_after }));
        }
        Ok(())
    }

    /// Verifies a chain at the time `now`, and the CA's own validity.
    pub(super) fn admits(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_validity(now)?;
        self.verifier.verify_client_cert(leaf, intermediates, now)
    }

    /// Returns whether the certificates of a chain that it let in are still valid at the time `then`, whatever the lists will say.
    pub(super) fn outlasts(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        then: UnixTime,
    ) -> bool {
        match self.admits(leaf, intermediates, then) {
            Ok(_) => true,
            Err(error) => Verdict::of(&error) == Verdict::ListExpired,
        }
    }
}
