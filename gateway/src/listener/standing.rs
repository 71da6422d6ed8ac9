//! Whether the client of an open connection would still get in.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::authorities::Objection;
use super::tls::Tls;
use crate::identity::{self, ClientIdentity, IdentityError};

/// What the handshake verified, and what has become of it.
#[derive(Debug)]
pub(super) struct Standing {
    chain: Vec<CertificateDer<'static>>,
    identity: Result<Arc<ClientIdentity>, IdentityError>,
    not_after: Timestamp,
    /// By whom the chain was judged last.
    judge: Arc<Tls>,
    objection: Option<Objection>,
}

impl Standing {
    /// Of a chain that `tls` verified just now; `None` if it is none.
    pub(super) fn new(chain: &[CertificateDer<'static>], tls: Arc<Tls>) -> Option<Self> {
        let not_after = identity::not_after(chain.first()?).ok()?;
        let identity = tls.authorities.identify(chain).map(Arc::new);
        Some(Self { chain: chain.to_vec(), identity, not_after, judge: tls, objection: None })
    }

    /// Whom the certificate names, by the authorities that verified it.
    pub(super) fn identity(&self) -> &Result<Arc<ClientIdentity>, IdentityError> {
        &self.identity
    }

    /// Judges the chain by the certificates that are in force now; whether there is an objection that was not there
    /// before. A new certificate of the server alone changes nothing.
    pub(super) fn review(&mut self, tls: &Arc<Tls>) -> bool {
        if self.objection.is_some() || self.judge.authorities.digest == tls.authorities.digest {
            return false;
        }
        self.judge = tls.clone();
        self.objection = self.judge.authorities.objection(&self.chain).or_else(|| {
            let named = self.judge.authorities.identify(&self.chain).map(Arc::new);
            (named != self.identity).then_some(Objection::Renamed)
        });
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
        let life = Duration::try_from(self.not_after.duration_since(Timestamp::now()));
        life.ok().filter(|life| !life.is_zero())
    }
}
