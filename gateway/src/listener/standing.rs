//! Whether the client of an open connection would still be accepted.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::authorities::Objection;
use super::tls::Tls;
use crate::identity::{ClientIdentity, IdentityError};

/// The certificates that the handshake verified, and whether they are still accepted.
#[derive(Debug)]
pub(super) struct Standing {
    chain: Vec<CertificateDer<'static>>,
    identity: Result<Arc<ClientIdentity>, IdentityError>,
    /// When the client stops being accepted: its certificate, or one above it that it needs, expires.
    end: Timestamp,
    /// The digest of the authorities that last judged the chain. Only the digest, so that no connection keeps replaced
    /// authorities, or a replaced key of the server, in memory.
    judged_by: [u8; 32],
    objection: Option<Objection>,
}

impl Standing {
    /// The standing of a chain that `tls` just verified. If the certificate has no usable identity, requests get 403.
    pub(super) fn new(chain: &[CertificateDer<'static>], tls: &Tls) -> Self {
        let authorities = &tls.authorities;
        let identity = authorities.identify(chain).map(Arc::new);
        Self {
            chain: chain.to_vec(),
            end: authorities.end(chain, &identity),
            identity,
            judged_by: authorities.digest,
            objection: None,
        }
    }

    /// The client's identity, or why the certificate has none, according to the authorities that verified it.
    pub(super) fn identity(&self) -> &Result<Arc<ClientIdentity>, IdentityError> {
        &self.identity
    }

    /// Whether the chain must be judged again: other authorities are in force than those that last accepted it.
    pub(super) fn is_outdated(&self, tls: &Tls) -> bool {
        self.objection.is_none() && self.judged_by != tls.authorities.digest
    }

    /// Judges the chain by the authorities in force now, unless they judged it already. Returns whether there is a new
    /// objection. A new server certificate alone changes nothing.
    pub(super) fn review(&mut self, tls: &Tls) -> bool {
        if !self.is_outdated(tls) {
            return false;
        }
        self.judged_by = tls.authorities.digest;
        self.objection = tls.authorities.objection(&self.chain, &self.identity);
        self.end = tls.authorities.end(&self.chain, &self.identity);
        self.objection.is_some()
    }

    /// Why the client is no longer accepted, if it is not.
    pub(super) fn objection(&self) -> Option<Objection> {
        self.objection.or_else(|| self.life().is_none().then_some(Objection::Expired))
    }

    /// How long the connection may last if nothing changes; `None` if it must end.
    ///
    /// An expired revocation list ends no connection: it only makes new handshakes fail.
    pub(super) fn life(&self) -> Option<Duration> {
        if self.objection.is_some() {
            return None;
        }
        let life = Duration::try_from(self.end.duration_since(Timestamp::now()));
        life.ok().filter(|life| !life.is_zero())
    }
}
