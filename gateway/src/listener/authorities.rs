//! The CAs of clients: which certificates they vouch for, and for which trust domain.
//!
//! Revocation: every list applies to every CA, so that a certificate that is known to be revoked is refused by whatever
//! chain it comes; only the list of a CA's namesake, which has another key, says nothing about it. A CA that signed a
//! list must answer for its whole chains: a certificate whose status is unknown, or whose list is past its
//! `nextUpdate`, is refused. A CA without a list is not asked.
//!
//! Time: a CA lets clients in from the beginning to the end of its own certificate, like each certificate below it.
//!
//! All of this is checked in each handshake; only the arithmetic of signatures on certificates and lists is done once.

mod authority;
mod ca;
mod denied;
mod error;
mod objection;
mod refusal;
mod revocation;
mod signatures;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{self, SHA256};
use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::config;
use crate::identity::{ClientIdentity, IdentityError, TrustDomain, Voucher};
use crate::pem;

use authority::Authority;
use ca::{Ca, CaMark};
use denied::Denied;
pub use error::AuthoritiesError;
pub(super) use objection::Objection;
use objection::Verdict;
pub(super) use refusal::noting;
pub(super) use revocation::ListMark;
use revocation::RevocationList;
pub(super) use signatures::algorithms;

/// All CAs whose clients may connect.
#[derive(Debug)]
pub(super) struct Authorities {
    all: Vec<Authority>,
    denied: Denied,
    hints: Vec<DistinguishedName>,
    /// Of all certificates and lists, and of the denied clients: those of the same digest decide alike.
    pub(super) digest: [u8; 32],
    /// The newest list of each issuer.
    pub(super) lists: Vec<ListMark>,
    /// Warnings for operators about CAs and lists that are in force.
    pub(super) warnings: Vec<String>,
    /// The earliest end of a CA's certificate.
    pub(super) not_after: Timestamp,
    /// The earliest `nextUpdate` of a revocation list.
    pub(super) next_update: Option<Timestamp>,
}

/// How many intermediate certificates a client may send. Which of them belong together is found by trying: of ten with
/// one name that takes seconds, and strangers send them.
const MAX_INTERMEDIATES: usize = 4;

/// How many ends of certificates that come before a client's own are looked at.
const MAX_ENDS: usize = 8;

/// How long ago a handshake may have verified a chain, generously.
const HANDSHAKE: Duration = Duration::from_mins(5);

impl Authorities {
    /// Reads the files that `settings` names.
    pub(super) fn load(settings: &config::Tls, provider: &Arc<CryptoProvider>) -> Result<Self, AuthoritiesError> {
        let mut cas = Vec::new();
        for ca in &settings.client_cas {
            for found in pem::certificates(&ca.file)? {
                cas.push(Ca::read(ca, found)?);
            }
        }
        let mut lists = Vec::new();
        for file in &settings.crls {
            for found in pem::revocation_lists(file)? {
                lists.push(RevocationList::read(found)?);
            }
        }
        revocation::assign(&mut lists, &mut cas, provider)?;
        let denied = settings.denied.as_deref().map(Denied::read).transpose()?.unwrap_or_default();
        let now = Timestamp::now();
        let mut loaded = Self {
            digest: digest(&cas, &lists, &denied),
            lists: revocation::newest(&lists, &cas),
            warnings: cas.iter().filter_map(|ca| ca.warning(now)).chain(revocation::foreign(&lists)).collect(),
            not_after: cas.iter().map(|ca| ca.validity.not_after).min().unwrap_or(Timestamp::MAX),
            next_update: lists.iter().filter_map(|list| list.mark.next_update).min(),
            all: Vec::new(),
            denied,
            hints: Vec::new(),
        };
        for ca in cas {
            let authority = Authority::new(ca, &lists, provider)?;
            for subject in authority.verifier.root_hint_subjects() {
                if !loaded.hints.iter().any(|hint| hint.as_ref() == subject.as_ref()) {
                    loaded.hints.push(subject.clone());
                }
            }
            loaded.all.push(authority);
        }
        Ok(loaded)
    }

    /// Whom a verified chain names, by the rules of the CAs that vouch for it.
    pub(super) fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<ClientIdentity, IdentityError> {
        let (leaf, intermediates) =
            chain.split_first().ok_or_else(|| IdentityError::Malformed("there is none".to_owned()))?;
        ClientIdentity::from_certificate(leaf, &self.vouchers(leaf, intermediates))
    }

    /// What there is against a chain that got in before and named `named`; `None` if it may stay.
    ///
    /// A list past its `nextUpdate` is no objection: it keeps new clients out, but says nothing new about those inside.
    pub(super) fn objection(
        &self,
        chain: &[CertificateDer<'_>],
        named: &Result<Arc<ClientIdentity>, IdentityError>,
    ) -> Option<Objection> {
        let (leaf, intermediates) = chain.split_first()?;
        // First, since it holds whatever can be said of the chain now: its revocation list may have expired.
        if self.denied.why(leaf, || named.as_deref().ok().map(|named| named.id().clone())).is_some() {
            return Some(Objection::Denied);
        }
        let Err(error) = self.verify_client_cert(leaf, intermediates, UnixTime::now()) else {
            return (self.identify(chain).map(Arc::new) != *named).then_some(Objection::Renamed);
        };
        match Verdict::of(&error) {
            Verdict::Objection(objection) => Some(objection),
            // What a list says is asked for the moment at which it was last good. Of several that have ended, only the
            // chain's own says anything.
            Verdict::ListExpired => {
                let ends = self.lists.iter().filter_map(|list| list.next_update);
                let mut last_good = ends.filter_map(|end| u64::try_from(end.as_second().checked_sub(1)?).ok());
                let revoked = last_good.any(|then| {
                    let then = UnixTime::since_unix_epoch(Duration::from_secs(then));
                    let error = self.verify_client_cert(leaf, intermediates, then).err();
                    error.as_ref().map(Verdict::of) == Some(Verdict::Objection(Objection::Revoked))
                });
                revoked.then_some(Objection::Revoked)
            }
        }
    }

    /// When a chain that was just verified stops being valid: when the client's certificate expires, or earlier if a CA
    /// or intermediate certificate that it needs expires. `identity` is whom its certificate names.
    pub(super) fn end(
        &self,
        chain: &[CertificateDer<'_>],
        identity: &Result<Arc<ClientIdentity>, IdentityError>,
    ) -> Timestamp {
        let Some((leaf, intermediates)) = chain.split_first() else { return Timestamp::MAX };
        let now = Timestamp::now();
        let own = identity.as_ref().map_or_else(|_| ca::not_after(leaf), |identity| identity.not_after());
        let above = intermediates.iter().map(ca::not_after).chain(self.all.iter().map(|ca| ca.validity.not_after));
        // Since the handshake, one may have ended already.
        let mut ends: Vec<_> =
            above.filter(|end| (now - HANDSHAKE..own).contains(end)).map(|end| end.max(now)).collect();
        ends.sort();
        ends.dedup();
        let outlasts = |end: &Timestamp| {
            let then = UnixTime::since_unix_epoch(Duration::from_secs(end.as_second().unsigned_abs() + 1));
            self.all.iter().any(|authority| authority.outlasts(leaf, intermediates, then))
        };
        // A chain with more of them is made to be costly: it ends with the first that is not looked at.
        let unseen = ends.get(MAX_ENDS).copied();
        ends.truncate(MAX_ENDS);
        ends.into_iter().find(|end| !outlasts(end)).or(unseen).unwrap_or(own)
    }

    /// A trust domain with a CA valid at `now` in `before`, but none here.
    pub(super) fn lost_domain(&self, before: &Self, now: Timestamp) -> Option<&TrustDomain> {
        let has_valid = |authorities: &Self, domain: &TrustDomain| {
            let mut of_domain = authorities.all.iter().filter(|authority| authority.voucher.trust_domain == *domain);
            of_domain.any(|authority| authority.validity.contains(now))
        };
        let mut domains = self.all.iter().map(|authority| &authority.voucher.trust_domain);
        domains.find(|domain| has_valid(before, domain) && !has_valid(self, domain))
    }

    /// The name of a CA that had a list in `before`, is still here, and has none now.
    pub(super) fn lost_list(&self, before: &Self) -> Option<&str> {
        let had_list = |mark: &CaMark| {
            before.all.iter().any(|authority| authority.mark.has_list && authority.mark.identity == mark.identity)
        };
        let mut marks = self.all.iter().map(|authority| &authority.mark);
        marks.find(|mark| !mark.has_list && had_list(mark)).map(|mark| mark.name.as_str())
    }

    /// Refuses a verified client that is on the list of denied ones; fails with `ApplicationVerificationFailure`.
    fn check_denied(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
        let identify = || {
            let vouchers = self.vouchers(leaf, intermediates);
            ClientIdentity::from_certificate(leaf, &vouchers).ok().map(|named| named.id().clone())
        };
        let Some(why) = self.denied.why(leaf, identify) else { return Ok(()) };
        refusal::note(|| Some(why));
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    /// What the CAs that vouch for a chain may vouch for. The verifier cannot pass on which ones did, so where it matters
    /// they are asked again.
    fn vouchers(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Vec<Voucher> {
        let mut vouchers: Vec<_> = self.all.iter().map(|authority| &authority.voucher).collect();
        vouchers.sort();
        vouchers.dedup();
        if vouchers.len() > 1 {
            let now = UnixTime::now();
            let admits = |voucher: &Voucher| {
                let mut authorities = self.all.iter().filter(|authority| authority.voucher == *voucher);
                authorities.any(|authority| authority.admits(leaf, intermediates, now).is_ok())
            };
            vouchers.retain(|voucher| admits(voucher));
        }
        vouchers.into_iter().cloned().collect()
    }
}

impl ClientCertVerifier for Authorities {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        use CertificateError::{BadSignature, UnknownIssuer, UnsupportedSignatureAlgorithmForPublicKeyContext};
        if intermediates.len() > MAX_INTERMEDIATES {
            refusal::note(|| {
                let count = intermediates.len();
                Some(format!("the client sends {count} intermediate certificates, {MAX_INTERMEDIATES} at most"))
            });
            return Err(Error::InvalidCertificate(UnknownIssuer));
        }
        let (mut refused, mut lapsed) = (None, None);
        for authority in &self.all {
            match authority.verifier.verify_client_cert(leaf, intermediates, now) {
                Ok(verified) => match authority.check_validity(now) {
                    Ok(()) => return self.check_denied(leaf, intermediates).map(|()| verified),
                    Err(error) => lapsed = Some((error, authority)),
                },
                // An objection of the issuing CA is more specific than that the others do not know it. A CA with the same
                // name and another type of key cannot have made the signature.
                Err(Error::InvalidCertificate(
                    UnknownIssuer | BadSignature | UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
                )) => {}
                Err(error) => refused = Some(error),
            }
        }
        Err(match (refused, lapsed) {
            (Some(error), _) => {
                refusal::note(|| refusal::refused(&error, leaf, intermediates));
                error
            }
            (None, Some((error, authority))) => {
                refusal::note(|| Some(format!("this is the certificate of the client CA {}", authority.mark.name)));
                error
            }
            (None, None) => {
                refusal::note(|| refusal::missing_issuer(leaf, intermediates, &self.all));
                Error::InvalidCertificate(UnknownIssuer)
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.all.first() {
            // All have the same provider.
            Some(authority) => authority.verifier.verify_tls13_signature(message, certificate, signature),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.all.first().map(|authority| authority.verifier.supported_verify_schemes()).unwrap_or_default()
    }
}

fn digest(cas: &[Ca], lists: &[RevocationList], denied: &Denied) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    for ca in cas {
        context.update(ca.voucher.trust_domain.as_str().as_bytes());
        for form in &ca.voucher.forms {
            // A separator, so that no form passes for the end of a trust domain.
            context.update(b"\0");
            context.update(form.as_str().as_bytes());
        }
        context.update(&ca.der);
    }
    for list in lists {
        context.update(&list.der);
    }
    for (kind, entry) in denied.entries() {
        for part in [kind, entry] {
            context.update(part.as_bytes());
            context.update(b"\0");
        }
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}
