//! Writes that have begun, each of which runs to its end although the request that asked for it is gone.

use std::sync::Arc;

use opentelemetry::trace::SpanKind;
use tokio::sync::watch;
use tracing::Instrument;

use crate::audit::Outcome;
use crate::kubernetes::traced;
use crate::policy::PendingChange;
use crate::trace::Spans;

use super::error::WriteError;

/// The writes that are under way. Clones count the same ones.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    count: Arc<watch::Sender<usize>>,
    spans: Spans,
}

/// One of them, until it is dropped.
struct Counted(InFlight);

impl InFlight {
    /// None yet. Their spans go to `spans`.
    pub(super) fn new(spans: Spans) -> Self {
        Self { count: Arc::new(watch::Sender::new(0)), spans }
    }

    /// Runs `write` in a task of its own, and records its outcome, which is `done` if it succeeds: the future that waits here
    /// is dropped when the client leaves or its deadline passes, and the API server may have the request by then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        pending: Option<PendingChange>,
        done: impl FnOnce(&T) -> Outcome + Send + 'static,
        write: impl Future<Output = Result<T, WriteError>> + Send + 'static,
    ) -> Result<T, WriteError> {
        let (counted, spans) = (Counted::new(self), self.spans.clone());
        let pending = pending.map(PendingChange::attempt);
        let task = async move {
            tracing::info!("write begun");
            let span = spans.begin(pending.as_ref().and_then(PendingChange::trace));
            let result = traced(span.context, write).await;
            let failure = result.as_ref().err().map(WriteError::outcome);
            spans.end(span, "write", SpanKind::Client, failure, Vec::new);
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
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

fn failed(error: &WriteError) -> Outcome {
    Outcome::Ended { outcome: error.outcome(), version: None, error: Some(error.to_string()) }
}

impl Counted {
    fn new(all: &InFlight) -> Self {
        all.count.send_modify(|count| *count += 1);
        Self(all.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}
