//! The leader drives Deployments to their targets.
//!
//! Of all gateways one holds the Lease and reconciles. For each target that changed, or whose Deployment
//! changed, it makes a pure plan, and carries it out: the count by PUT on `deployments/scale`, the status of the
//! target, an event on the Deployment. It writes nothing else but its Lease.

mod conditions;
mod contention;
mod history;
mod lease;
mod metrics;
mod notice;
mod ownership;
mod plan;
mod queue;
mod reconcile;
mod worker;
mod writer;

#[cfg(test)]
mod tests;

pub use lease::{Leadership, LeaseError, LeaseSettings};
pub use metrics::ReconcilerMetrics;
pub use ownership::Owner;

use std::future::Future;
use std::pin::pin;

use thiserror::Error;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};

use crate::replicas::Replicas;

use self::lease::Elector;
use self::reconcile::Reconcile;
use self::worker::Worker;
use self::writer::Writer;

/// Why the reconciler cannot go on. The process should end: no other would take over while it lives.
#[derive(Debug, Error)]
pub enum ReconcilerError {
    /// The settings of the Lease are unusable.
    #[error("the lease settings are unusable")]
    Settings(#[source] LeaseError),
    /// The task that renews the Lease ended, which only a defect makes it do.
    #[error("the lease task ended")]
    LeaseTask(#[source] Option<JoinError>),
}

/// The reconciler of one process.
pub struct Reconciler {
    elector: Elector,
    worker: Worker,
    leadership: watch::Receiver<Leadership>,
}

impl Reconciler {
    /// A reconciler that reads from `replicas` and writes with `client`, as a candidate for the Lease of `settings`.
    ///
    /// # Errors
    ///
    /// [`ReconcilerError::Settings`] when the durations would let two lead at once.
    pub fn new(
        settings: LeaseSettings,
        client: kube::Client,
        replicas: Replicas,
        metrics: ReconcilerMetrics,
    ) -> Result<Self, ReconcilerError> {
        settings.validate().map_err(ReconcilerError::Settings)?;
        let (sender, leadership) = watch::channel(Leadership::Follower { holder: None });
        let writer = Writer::new(client.clone(), settings.identity.clone());
        let reconcile = Reconcile::new(replicas.clone(), writer, metrics.clone());
        let elector = Elector::new(client, settings, sender, replicas.clone());
        let worker = Worker { reconcile, replicas, metrics, leadership: leadership.clone() };
        Ok(Self { elector, worker, leadership })
    }

    /// Who leads, as it changes.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Takes part until `shutdown`; then ends the work that it has begun, and only then gives the Lease back.
    ///
    /// # Errors
    ///
    /// [`ReconcilerError::LeaseTask`] when the Lease is no longer looked after.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ReconcilerError> {
        let mut shutdown = pin!(shutdown);
        // Who knows nothing of the cluster yet should not keep those who do from the Lease.
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            () = self.worker.replicas.synced() => {}
        }
        let (release, released) = oneshot::channel::<()>();
        let elector = self.elector;
        // A task of its own, so that no amount of work delays a renewal; the set ends it with this future.
        let mut lease = JoinSet::new();
        lease.spawn(elector.run(async move {
            let _ = released.await;
        }));
        tokio::select! {
            () = self.worker.run(shutdown) => {}
            ended = lease.join_next() => return Err(ReconcilerError::LeaseTask(ended.and_then(Result::err))),
        }
        let _ = release.send(());
        match lease.join_next().await {
            Some(Err(error)) => Err(ReconcilerError::LeaseTask(Some(error))),
            _ => Ok(()),
        }
    }
}
