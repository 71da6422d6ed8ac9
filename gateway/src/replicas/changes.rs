//! Telling others what changed, without ever making the watches wait.

use std::sync::Arc;

use crate::workload::WorkloadRef;
use thiserror::Error;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Observation;
use super::cache::Cache;

/// How many changes a subscriber may lag behind before it is told to look at everything instead.
pub(super) const BACKLOG: usize = 1024;

/// Something in the cache changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChange {
    /// Anything may have changed: after a relist, or because the subscriber lagged behind.
    All,
    /// The Deployment of this name, its target or its autoscalers.
    One(WorkloadRef),
}

/// A subscription to changes. A slow subscriber loses single changes but never the knowledge that there were some.
#[derive(Debug)]
pub struct Changes {
    pub(super) receiver: broadcast::Receiver<CacheChange>,
    /// The sender lives in the cache: holding it means that the channel never closes.
    pub(super) _cache: Arc<Cache>,
}

impl Changes {
    /// The next change. Cancelling it loses none.
    pub async fn next(&mut self) -> CacheChange {
        match self.receiver.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => {
                // What is still queued is covered by `All`.
                self.receiver = self.receiver.resubscribe();
                CacheChange::All
            }
            // Cannot be, as long as the cache is held.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The wanted state was not reached before the deadline.
#[derive(Debug, Error)]
#[error("{} did not reach the wanted state in time", last.name)]
pub struct TimedOut {
    /// The last state seen.
    pub last: Box<Observation>,
}
