//! Records every decision, and the outcome of every allowed change.
//!
//! Records have a separate queue, thread and output: no log filter hides one, and no read waits for an output that
//! nobody reads. A change is made only once the record of its decision has been handed to the operating system, for
//! which it waits a bounded time; room for its outcome record is reserved first. Reads that cannot be recorded are
//! served and counted.

mod known;
mod metrics;
mod outcome;
mod record;
mod redact;
mod status;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use metrics::AuditMetrics;
pub use outcome::{Outcome, PendingOutcome, UNKNOWN};
pub use record::{
    DecisionRecord, ListRecord, ModuleRecord, NamedInput, Origin, SCHEMA, StreamEvent, StreamRecord, Subject, schema,
};
pub use redact::{RedactKey, RedactKeyError, RedactedField, Redaction};
pub use status::AuditStatus;

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use thiserror::Error;
use tokio::time::timeout;

use crate::hex;
use crate::lines::{Full, LineSettings, LineWriter, Lines, Output, Preface, Receipt};
use crate::text::escaped_json;

use self::known::KnownInputs;
use self::record::{InputRecord, Record, Template};
use self::redact::Hidden;

/// How long a change waits for its record to be written.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest recorded input of a decision that changes nothing, in bytes: longer ones could flood the output.
const MAX_INPUT: usize = 16 << 10;
/// The longest recorded input of a decision about a change, in bytes: more than the cache keeps of a workload and its
/// namespace.
const MAX_CHANGE: usize = 256 << 10;
/// The room that is reserved for the record of an outcome, in bytes.
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

/// The settings of the audit.
#[derive(Debug)]
pub struct AuditSettings {
    /// Where the records go.
    pub output: Output,
    /// How many bytes of records may wait to be written.
    pub queue_bytes: usize,
    /// What happens to changes while no record can be written.
    pub when_full: WhenFull,
    /// The name of this gateway in the records.
    pub gateway: String,
    /// What is redacted in them.
    pub redaction: Option<Redaction>,
}

/// The record of a change cannot be written, so the change must not be made.
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
    redaction: Option<Redaction>,
    output: String,
    metrics: AuditMetrics,
    known: Mutex<KnownInputs>,
}

/// The record of a decision, ready to be queued.
struct DecisionLine {
    text: Vec<u8>,
    /// The record of the input, if this record names it only by its digest.
    input: Option<Arc<Preface>>,
    /// The values that the record of its outcome must not have either.
    hidden: Hidden,
}

impl Audit {
    /// Opens the output and starts its thread.
    ///
    /// # Errors
    ///
    /// The output cannot be opened, or is a standard output that nobody can read.
    pub fn start(settings: AuditSettings, metrics: AuditMetrics) -> io::Result<(Self, LineWriter)> {
        if settings.output.is_discarded() {
            let problem = "it is closed, or /dev/null: name a file, or /dev/null itself to keep no records";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let output = settings.output.to_string();
        let (lines, writer) = Lines::start(LineSettings {
            name: "audit",
            output: settings.output,
            capacity_bytes: settings.queue_bytes,
            lost: metrics.lost.clone(),
            report: |error| tracing::error!(%error, "audit records cannot be written"),
        })?;
        metrics.queued(lines.clone());
        let AuditSettings { when_full, gateway, redaction, .. } = settings;
        let inner = Inner { lines, when_full, gateway, redaction, output, metrics, known: Mutex::default() };
        Ok((Self(Arc::new(inner)), writer))
    }

    /// Reopens the output file, after it was moved.
    pub fn reopen(&self) {
        self.0.lines.reopen();
    }

    /// Records a decision that changes nothing. Never waits: a record that has no room in the queue, or exceeds the
    /// client's share of it, is dropped and counted.
    pub fn decided(&self, record: &DecisionRecord<'_>) {
        let DecisionLine { text, input, .. } = self.0.decision(record);
        let pushed = self.0.lines.push_shared(text, record.share, input);
        self.0.metrics.recorded("decision", pushed.is_ok());
    }

    /// Records that a change is allowed, and waits until the record is handed to the operating system.
    ///
    /// # Errors
    ///
    /// [`Unrecorded`] if that fails, unless the settings allow changes without a record.
    pub async fn permitted(&self, record: &DecisionRecord<'_>) -> Result<PendingOutcome, Unrecorded> {
        let reserved = self.0.lines.reserve(OUTCOME_BYTES);
        let queued = reserved.and_then(|reservation| {
            // The record of a change has its input, so it needs no other record before it.
            let DecisionLine { text, hidden, .. } = self.0.decision(record);
            let receipt = self.0.lines.push_with_receipt(text)?;
            // From here on an outcome will be recorded, even if this future is dropped.
            Ok((receipt, PendingOutcome::new(self, record.subject, hidden, Some(reservation))))
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
        Ok(pending.unwrap_or_else(|| PendingOutcome::new(self, record.subject, self.0.decision(record).hidden, None)))
    }

    /// Records a list. Never waits.
    pub fn listed(&self, record: &ListRecord<'_>) {
        let line = self.0.line(&Record::List(record), redact::Redaction::list);
        let pushed = self.0.lines.push_shared(line.into_bytes(), record.share, None);
        self.0.metrics.recorded("list", pushed.is_ok());
    }

    /// Records what happened to a stream. Never waits.
    pub fn streamed(&self, record: &StreamRecord<'_>) {
        let line = self.0.line(&Record::Stream(record), redact::Redaction::list);
        let pushed = self.0.lines.push_shared(line.into_bytes(), record.share, None);
        self.0.metrics.recorded("stream", pushed.is_ok());
    }
}

async fn written(receipt: Receipt) -> bool {
    timeout(PATIENCE, receipt.written()).await.is_ok_and(|written| written.is_ok())
}

/// The record of an answer whose repetition is on record already.
fn repeated(record: &DecisionRecord<'_>) -> Option<DecisionLine> {
    let named = record.named.filter(|_| record.cached)?.get()?;
    let text = named.repeated.get()?.fill(record);
    Some(DecisionLine { text, input: Some(named.record.clone()), hidden: Hidden::default() })
}

impl Inner {
    /// The text of a record, changed by `redact` where something is redacted.
    fn line(&self, record: &Record<'_>, redact: impl FnOnce(&Redaction, &mut Value)) -> String {
        let Some(redaction) = &self.redaction else { return record::line(record, &self.gateway) };
        let mut value = record::value(record, &self.gateway);
        redact(redaction, &mut value);
        record::escaped(value.to_string())
    }

    /// The record of a decision, with its input. An allowed read names its input by digest, since most reads repeat
    /// one; so does a decision whose input is too long.
    fn decision(&self, record: &DecisionRecord<'_>) -> DecisionLine {
        if let Some(repeated) = repeated(record) {
            return repeated;
        }
        let (mut hidden, mut redacted) = (Hidden::default(), None);
        let line = self.line(&Record::Decision(record), |redaction, line| {
            // The input is JSON, so this cannot fail.
            let mut input = serde_json::from_str(record.input).unwrap_or_default();
            hidden = redaction.decision(line, &mut input);
            redacted = Some(input.to_string());
        });
        let named = record.named.filter(|_| redacted.is_none());
        if let Some(named) = named.and_then(OnceLock::get) {
            let text = record::with_field(line, "inputSha256", &named.sha256);
            if record.cached
                && let Some(template) = Template::of(&text, record)
            {
                // Another thread may have set it already, to the same value.
                let _ = named.repeated.set(template);
            }
            return DecisionLine { text: text.into(), input: Some(named.record.clone()), hidden };
        }
        let input = redacted.as_deref().unwrap_or(record.input);
        let input = escaped_json(input);
        let repeats = record.action == "get" && record.outcome == "allowed";
        let longest = if record.changes { MAX_CHANGE } else { MAX_INPUT };
        if !repeats && input.len() <= longest {
            return DecisionLine { text: record::with_field(line, "input", &input).into(), input: None, hidden };
        }
        let digest = digest(&SHA256, input.as_bytes());
        let name = hex::encode(digest.as_ref());
        let whole = || {
            let mut line = record::line(&Record::Input(InputRecord { sha256: &name }), &self.gateway);
            if !hidden.fields.is_empty() {
                let fields = serde_json::to_string(&hidden.fields).unwrap_or_default();
                line = record::with_field(line, "redacted", &fields);
            }
            record::with_field(line, "input", &input).into()
        };
        let known = (repeats && input.len() <= MAX_INPUT).then(|| self.known().record(digest.as_ref(), whole));
        let sha256 = format!("\"{name}\"");
        let text = record::with_field(line, "inputSha256", &sha256).into();
        if let (Some(named), Some(record)) = (named, &known) {
            // Another thread may have set it already, to the same value.
            let _ = named.set(NamedInput { sha256, record: record.clone(), repeated: OnceLock::new() });
        }
        DecisionLine { text, input: known, hidden }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownInputs> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
