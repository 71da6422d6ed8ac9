//! Which Lease is contested, and how patiently.

use std::time::Duration;

use thiserror::Error;

use crate::ids;

/// Which Lease is contested, as whom, and how patiently.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who holds it: unique for each process, so that a restarted pod is another candidate.
    pub identity: String,
    /// How long a record must stay unchanged before another candidate takes it. Default 15 s; whole seconds.
    pub lease_duration: Duration,
    /// How long a leader leads on after the last renewal that succeeded. Default 10 s; less than `lease_duration`.
    pub renew_deadline: Duration,
    /// The pause between two attempts to acquire or renew. Default 2 s; less than `renew_deadline`.
    pub retry_period: Duration,
}

impl LeaseSettings {
    /// The default patience (15 s, 10 s, 2 s) and an identity made of the pod's name and a random suffix.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, pod: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: format!("{pod}_{}", ids::new().simple()),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// The durations must be ordered, else two could lead at once.
    pub(in crate::reconciler) fn validate(&self) -> Result<(), LeaseError> {
        let ordered = Duration::ZERO < self.retry_period
            && self.retry_period < self.renew_deadline
            && self.renew_deadline < self.lease_duration
            && self.lease_duration >= Duration::from_secs(1);
        if ordered { Ok(()) } else { Err(LeaseError) }
    }

    /// Two calls in a row fit into the renew deadline.
    pub(super) fn call_timeout(&self) -> Duration {
        self.renew_deadline / 2
    }
}

/// The settings would let two processes lead at once.
#[derive(Debug, Error)]
#[error("the lease needs 0 < retry period < renew deadline < lease duration, and a lease of at least 1 s")]
pub struct LeaseError;
