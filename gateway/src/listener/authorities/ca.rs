//! One CA of clients.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{Error, RootCertStore};

use super::revocation::RevocationList;
use crate::config;
use crate::identity::{TrustDomain, Validity, der};
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

    /// What a person should know of it at the time `now`, though it can be used.
    pub(super) fn warning(&self, now: Timestamp) -> Option<String> {
        let not_after = self.validity.not_after;
        (not_after < now).then(|| format!("{}: client CA {} has ended at {not_after}", self.place, self.mark.name))
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
        Ok(Authority { verifier, trust_domain: self.trust_domain, mark: self.mark })
    }
}
