//! The evidence that a policy allowed an action.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use uuid::Uuid;

use crate::audit::{Outcome, PendingOutcome};
use crate::clients::Place;
use crate::identity::ClientIdentity;
use crate::ids;
use crate::replicas::Observation;
use crate::trace::TraceContext;

/// Names one decision in answers, logs and targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionId(Uuid);

impl DecisionId {
    pub(crate) fn new() -> Self {
        Self(ids::new())
    }

    pub(super) fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Evidence that the policies allowed `client` to do `action` on what was observed.
///
/// Only [`super::Policy`] makes one. Whatever shows a client the cluster or changes it takes a permit, so a handler
/// that forgets to ask the policies does not compile.
#[derive(Debug)]
pub struct Permit<A> {
    pub(super) action: A,
    pub(super) client: Arc<ClientIdentity>,
    pub(super) observation: Observation,
    pub(super) decision: DecisionId,
    pub(super) tags: BTreeMap<String, String>,
    /// For a change: where its outcome goes.
    pub(super) pending: Mutex<Option<PendingChange>>,
}

impl<A> Permit<A> {
    /// What was allowed.
    pub fn action(&self) -> &A {
        &self.action
    }

    /// Who was allowed.
    pub fn client(&self) -> &ClientIdentity {
        &self.client
    }

    /// The state of the cluster that the policies saw.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The decision's name.
    pub fn decision(&self) -> DecisionId {
        self.decision
    }

    /// Takes what the outcome of a change is recorded with. `None` for what changes nothing, and the second time.
    pub fn take_pending(&self) -> Option<PendingChange> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The tags that the policies attached.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.tags
    }
}

/// An allowed change, until its outcome is on record.
#[derive(Debug)]
pub struct PendingChange {
    outcome: PendingOutcome,
    /// The client's place for a change under way.
    place: Place,
}

impl PendingChange {
    pub(crate) fn new(outcome: PendingOutcome, place: Place) -> Self {
        Self { outcome, place }
    }

    /// Notes that the change is attempted: from here on its outcome is not known until it is concluded.
    #[must_use]
    pub fn attempt(self) -> Self {
        Self { outcome: self.outcome.attempt(), place: self.place }
    }

    /// The trace of the request that asks for the change.
    pub fn trace(&self) -> Option<TraceContext> {
        self.outcome.trace()
    }

    /// Records `outcome`, and gives the client's place back.
    pub fn conclude(self, outcome: &Outcome) {
        self.outcome.conclude(outcome);
        drop(self.place);
    }
}

/// Why there is no permit.
#[derive(Debug, Error)]
pub enum Denied {
    /// The gateway has not read the cluster since it started, so nothing is known to decide on, and no decision was made.
    #[error("the cluster has not been read yet")]
    Unread,
    /// The rules said no.
    #[error("refused by policy (decision {decision}): {}", reasons.join("; "))]
    Refused {
        /// The decision's name.
        decision: DecisionId,
        /// The modules' reasons, in module order.
        reasons: Vec<String>,
    },
    /// Too many questions were being asked, or too many changes are under way.
    #[error("no turn for decision {decision}")]
    Busy {
        /// The decision's name.
        decision: DecisionId,
    },
    /// The rules allow a change, but its record cannot be written, so it may not be made.
    #[error("the record of decision {decision} cannot be written")]
    Unrecorded {
        /// The decision's name.
        decision: DecisionId,
    },
    /// The rules could not be asked. The cause is for the log, not for the client.
    #[error("no verdict (decision {decision}): {cause}")]
    Unavailable {
        /// The decision's name.
        decision: DecisionId,
        /// What went wrong, with the module's name.
        cause: String,
    },
}
