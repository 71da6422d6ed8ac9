//! One CA of clients.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, Error, RootCertStore};

use super::objection::Verdict;
use super::revocation::RevocationList;
use crate::config;
use crate::identity::{self, TrustDomain, Validity, der};
use crate::listener::pem::{Located, Place};
use crate::listener::tls::TlsError;

/// A CA's certificate that was read.
pub(super) struct Ca {
    pub(super) place: Place,
    pub(super) der: CertificateDer<'static>,
    pub(super) trust_domain: TrustDomain,
    pub(super) mark: CaMark,
    pub(super) validity: Validity,
}

/// What a CA is known by, and whether it must answer for its certificates.
#[derive(Debug, Clone)]
pub(in crate::listener) struct CaMark {
    pub(super) name: String,
    /// Subject and public key, DER.
    pub(super) identity: (Vec<u8>, Vec<u8>),
    pub(super) has_list: bool,
}

/// A CA that verifies, and speaks for one trust domain.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) trust_domain: TrustDomain,
    pub(super) mark: CaMark,
    pub(super) validity: Validity,
}

impl Ca {
    /// Takes a certificate that must be a CA's.
    pub(super) fn read(ca: &config::ClientCa, found: Located<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let Located { place, item } = found;
        let invalid = |cause: String| TlsError::Ca { place: place.clone(), cause };
        let (mark, validity, is_ca) = {
            let certificate = der::certificate(&item).map_err(invalid)?;
            let identity = (certificate.subject().as_raw().to_vec(), certificate.public_key().raw.to_vec());
            let mark = CaMark { name: certificate.subject().to_string(), identity, has_list: false };
            (mark, Validity::of(&certificate), certificate.is_ca())
        };
        if !is_ca {
            return Err(invalid(format!("{} is no CA's certificate", mark.name)));
        }
        Ok(Self { place, der: item, trust_domain: ca.trust_domain.clone(), mark, validity })
    }

    /// A warning for operators about a CA that is outside its validity at `now`.
    pub(super) fn warning(&self, now: Timestamp) -> Option<String> {
        let Validity { not_before, not_after } = self.validity;
        let when = if not_after < now {
            format!("expired at {not_after}")
        } else if now < not_before {
            format!("is not valid before {not_before}")
        } else {
            return None;
        };
        Some(format!("{}: client CA {} {when}: its clients are refused", self.place, self.mark.name))
    }

    /// Makes it verify, with those of `lists` that apply to it.
    pub(super) fn into_authority(
        self,
        lists: &[RevocationList],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Authority, TlsError> {
        let invalid = |cause: String| TlsError::Ca { place: self.place.clone(), cause };
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).map_err(|error| invalid(error.to_string()))?;
        let roots = Arc::new(roots);
        let build = |lists: Vec<CertificateRevocationListDer<'static>>| {
            let builder = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
                .with_crls(lists)
                .enforce_revocation_expiration();
            if self.mark.has_list { builder } else { builder.allow_unknown_revocation_status() }.build()
        };
        let applying: Vec<_> = lists.iter().filter(|list| list.applies_to(&self.mark)).collect();
        let verifier = build(applying.iter().map(|list| list.der.clone()).collect()).map_err(|error| {
            let refused = |list: &&&RevocationList| build(vec![list.der.clone()]).is_err();
            match (&error, applying.iter().find(refused)) {
                (VerifierBuilderError::InvalidCrl(cause), Some(list)) => {
                    list.invalid(Error::from(cause.clone()).to_string())
                }
                _ => invalid(error.to_string()),
            }
        })?;
        Ok(Authority { verifier, trust_domain: self.trust_domain, mark: self.mark, validity: self.validity })
    }
}

impl Authority {
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

    /// Whether it lets a chain in at the time `now`.
    pub(super) fn admits(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_validity(now)?;
        self.verifier.verify_client_cert(leaf, intermediates, now)
    }

    /// Whether the certificates of a chain that it let in are still valid at the time `then`, whatever the lists will say.
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

/// The instant of a certificate's end.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Timestamp {
    // One that cannot be read ends no connection: each of its answers says that it names nobody.
    identity::not_after(der).unwrap_or(Validity::ALWAYS.not_after)
}
