//! Writes that have begun, each of which runs to its end although the request that asked for it is gone.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::Instrument;

use crate::audit::Outcome;
use crate::policy::PendingChange;

use super::error::WriteError;

/// The writes that are under way. Clones count the same ones.
#[derive(Debug, Clone)]
pub(super) struct InFlight(Arc<watch::Sender<usize>>);

/// One of them, until it is dropped.
struct Counted(InFlight);

impl InFlight {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Runs `write` in a task of its own, and records its outcome, which is `done` if it succeeds: the future that waits here
    /// is dropped when the client leaves or its deadline passes, and the API server may have the request by then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        pending: Option<PendingChange>,
        done: impl FnOnce(&T) -> Outcome + Send + 'static,
        write: impl Future<Output = Result<T, WriteError>> + Send + 'static,
    ) -> Result<T, WriteError> {
        let counted = Counted::new(self);
        let pending = pending.map(PendingChange::attempt);
        let task = async move {
            tracing::info!("write begun");
            let result = write.await;
            if let Some(pending) = pending {
                pending.conclude(&result.as_ref().map_or_else(failed, done));
            }
            drop(counted);
            result
        };
        match tokio::spawn(task.in_current_span()).await {
            Ok(result) => result,
            Err(panicked) => Err(WriteError::Unavailable { source: panicked.into() }),
        }
    }

    /// Waits until no write is under way.
    pub(super) async fn ended(&self) {
        // The sender is `self`'s own, so it is never gone.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

fn failed(error: &WriteError) -> Outcome {
    Outcome::Ended { outcome: error.outcome(), version: None, error: Some(error.to_string()) }
}

impl Counted {
    fn new(all: &InFlight) -> Self {
        all.0.send_modify(|count| *count += 1);
        Self(all.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
