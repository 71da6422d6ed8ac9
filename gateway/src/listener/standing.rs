//! Whether the client of an open connection would still get in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::authorities::Objection;
use super::tls::Tls;
use crate::identity::{ClientIdentity, IdentityError};

/// What the handshake verified, and what has become of it.
#[derive(Debug)]
pub(super) struct Standing {
    chain: Vec<CertificateDer<'static>>,
    identity: Result<Arc<ClientIdentity>, IdentityError>,
    /// When the first certificate ends without which the client would not get in: its own, or one above it.
    end: Timestamp,
    /// The digest of the authorities that judged the chain last. They themselves, and the server's key of then, need not
    /// outlive their time with the connection.
    judged_by: [u8; 32],
    objection: Option<Objection>,
}

impl Standing {
    /// The standing of a chain that `tls` just verified. A certificate that cannot be parsed has no identity, and its
    /// requests get 403.
    pub(super) fn new(chain: &[CertificateDer<'static>], tls: &Tls) -> Self {
        let authorities = &tls.authorities;
        Self {
            chain: chain.to_vec(),
            identity: authorities.identify(chain).map(Arc::new),
            end: authorities.end(chain),
            judged_by: authorities.digest,
            objection: None,
        }
    }

    /// Whom the certificate names, by the authorities that verified it.
    pub(super) fn identity(&self) -> &Result<Arc<ClientIdentity>, IdentityError> {
        &self.identity
    }

    /// Whether other authorities are in force than those that judged the chain last.
    pub(super) fn is_outdated(&self, tls: &Tls) -> bool {
        self.objection.is_none() && self.judged_by != tls.authorities.digest
    }

    /// Judges the chain by the certificates that are in force now; whether there is an objection that was not there
    /// before. A new certificate of the server alone changes nothing.
    pub(super) fn review(&mut self, tls: &Tls) -> bool {
        if !self.is_outdated(tls) {
            return false;
        }
        self.judged_by = tls.authorities.digest;
        self.objection = tls.authorities.objection(&self.chain, &self.identity);
        self.end = tls.authorities.end(&self.chain);
        self.objection.is_some()
    }

    /// What there is against the client, if anything.
    pub(super) fn objection(&self) -> Option<Objection> {
        self.objection.or_else(|| self.life().is_none().then_some(Objection::Expired))
    }

    /// How long the connection may go on, if nothing changes; `None` if it is over.
    ///
    /// The end of a revocation list ends no connection, only the handshakes that would ask it.
    pub(super) fn life(&self) -> Option<Duration> {
        if self.objection.is_some() {
            return None;
        }
        let life = Duration::try_from(self.end.duration_since(Timestamp::now()));
        life.ok().filter(|life| !life.is_zero())
    }
}
