//! The record of every decision, and of what came of every allowed change.
//!
//! Records have a queue, a thread and an output of their own: no filter hides one, and no read waits for an output that
//! nobody reads. A change is made only after the record of its decision was handed to the operating system, for which it
//! waits a bounded time; room for its outcome record is reserved first. Unrecorded reads are served and counted.

mod known;
mod metrics;
mod outcome;
mod record;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use metrics::AuditMetrics;
pub use outcome::{Outcome, PendingOutcome, UNKNOWN};
pub use record::{DecisionRecord, ListRecord, ModuleRecord, Origin, SCHEMA, Subject, schema};

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use thiserror::Error;
use tokio::time::timeout;

use crate::hex;
use crate::lines::{Full, LineSettings, LineWriter, Lines, Output, Receipt};

use self::known::KnownInputs;
use self::record::{InputRecord, Record};

/// How long a change waits for its record to be written.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest input of a decision about a read that is recorded, in bytes: longer ones would be a way to fill the output.
const MAX_INPUT: usize = 16 << 10;
/// The longest input of a decision about a change, which is more than what the cache keeps of a workload and its
/// namespace.
const MAX_CHANGE: usize = 256 << 10;
/// The room that is kept for the record of an outcome, in bytes.
const OUTCOME_BYTES: usize = 1024;

/// What happens to changes while no record can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// They are refused.
    #[default]
    Refuse,
    /// They are made without a record, and counted.
    Allow,
}

/// What the audit is started with.
#[derive(Debug)]
pub struct AuditSettings {
    /// Where the records go.
    pub output: Output,
    /// The bytes of records that may wait to be written.
    pub queue_bytes: usize,
    /// What happens to changes while no record can be written.
    pub when_full: WhenFull,
    /// The name of this gateway in the records.
    pub gateway: String,
}

/// An unrecorded change, which must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the audit record cannot be written")]
pub struct Unrecorded;

/// Writes records. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    lines: Lines,
    when_full: WhenFull,
    gateway: String,
    metrics: AuditMetrics,
    known: Mutex<KnownInputs>,
}

impl Audit {
    /// Opens the output and starts its thread.
    ///
    /// # Errors
    ///
    /// Where the output cannot be opened.
    pub fn start(settings: AuditSettings, metrics: AuditMetrics) -> io::Result<(Self, LineWriter)> {
        let (lines, writer) = Lines::start(LineSettings {
            name: "audit",
            output: settings.output,
            capacity_bytes: settings.queue_bytes,
            lost: metrics.lost.clone(),
            report: |error| tracing::error!(%error, "audit records cannot be written"),
        })?;
        metrics.queued(lines.clone());
        let (when_full, gateway) = (settings.when_full, settings.gateway);
        Ok((Self(Arc::new(Inner { lines, when_full, gateway, metrics, known: Mutex::default() })), writer))
    }

    /// Reopens the output's file, after it was moved.
    pub fn reopen(&self) {
        self.0.lines.reopen();
    }

    /// Records a decision that changes nothing. Never waits; a record that there is no room for, or that exceeds the
    /// client's share of it, is counted.
    pub fn decided(&self, record: &DecisionRecord<'_>) {
        let pushed = self.0.decision(record, |line| self.0.lines.push_shared(line, record.client_id));
        self.0.metrics.recorded("decision", pushed.is_ok());
    }

    /// Records that a change is allowed, and waits until that is with the operating system.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`] where that fails, unless the settings let changes go on without.
    pub async fn permitted(&self, record: &DecisionRecord<'_>) -> Result<PendingOutcome, Unrecorded> {
        let reserved = self.0.lines.reserve(OUTCOME_BYTES);
        let queued = reserved.and_then(|reservation| {
            let receipt = self.0.decision(record, |line| self.0.lines.push_with_receipt(line))?;
            // From here on the record has an outcome, whatever becomes of this future.
            Ok((receipt, PendingOutcome::new(self, record.subject, Some(reservation))))
        });
        self.0.metrics.recorded("decision", queued.is_ok());
        let (written, pending) = match queued {
            Ok((receipt, pending)) => (written(receipt).await, Some(pending)),
            Err(Full) => (false, None),
        };
        match (written, self.0.when_full) {
            (true, _) => {}
            (false, WhenFull::Allow) => {
                self.0.metrics.unrecorded.inc();
            }
            (false, WhenFull::Refuse) => {
                self.0.metrics.refused.inc();
                return Err(Unrecorded);
            }
        }
        Ok(pending.unwrap_or_else(|| PendingOutcome::new(self, record.subject, None)))
    }

    /// Records a list. Never waits.
    pub fn listed(&self, record: &ListRecord<'_>) {
        let line = record::line(&Record::List(record), &self.0.gateway);
        let pushed = self.0.lines.push_shared(line, record.client_id);
        self.0.metrics.recorded("list", pushed.is_ok());
    }
}

async fn written(receipt: Receipt) -> bool {
    timeout(PATIENCE, receipt.written()).await.is_ok_and(|written| written.is_ok())
}

impl Inner {
    /// Queues the record of a decision with `push`, its input within it. An allowed read names an input that the output
    /// has already by its digest, since most reads repeat one.
    fn decision<T>(
        &self,
        record: &DecisionRecord<'_>,
        push: impl FnOnce(Vec<u8>) -> Result<T, Full>,
    ) -> Result<T, Full> {
        let (line, input) = (Record::Decision(record), record.input);
        let repeats = record.action == "get" && record.outcome == "allowed";
        let longest = if record.changes { MAX_CHANGE } else { MAX_INPUT };
        if !repeats && input.len() <= longest {
            return push(record::line_with_input(&line, &self.gateway, input));
        }
        let digest = digest(&SHA256, input.as_bytes());
        let name = hex::encode(digest.as_ref());
        if input.len() <= MAX_INPUT && !self.known().has(digest.as_ref(), self.lines.breaks()) {
            let whole = Record::Input(InputRecord { sha256: &name });
            self.lines.push_shared(record::line_with_input(&whole, &self.gateway, input), record.client_id)?;
            self.known().add(digest.as_ref());
        }
        push(record::line_with_digest(&line, &self.gateway, &name))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownInputs> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
