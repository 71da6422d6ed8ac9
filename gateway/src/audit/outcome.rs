//! The outcome of an allowed change.

use jiff::Timestamp;
use serde_json::Value;

use crate::lines::Reservation;
use crate::text::cut;
use crate::trace::TraceContext;

use super::Audit;
use super::record::{OutcomeRecord, Record, Subject};
use super::redact::{Hidden, Redaction};

/// The longest error in an outcome record, in bytes.
const MAX_ERROR: usize = 512;

/// The outcome of a change that may or may not have happened.
pub const UNKNOWN: &str = "unknown";

/// How an allowed change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was sent to the API server, with this result.
    Ended {
        /// Such as `stored`.
        outcome: &'static str,
        /// The version of the target as it was stored.
        version: Option<String>,
        /// What went wrong.
        error: Option<String>,
    },
    /// It was not sent to the API server.
    NotAttempted,
}

/// An allowed change whose outcome is not recorded yet. Dropping this records that the change was not attempted or,
/// after [`Self::attempt`], that its outcome is not known.
#[derive(Debug)]
pub struct PendingOutcome {
    audit: Audit,
    subject: Subject,
    /// The values that the record must not have.
    hidden: Hidden,
    attempted: bool,
    /// Room for the record; `None` where there was none, or once it is used.
    reservation: Option<Reservation>,
    concluded: bool,
}

impl PendingOutcome {
    pub(super) fn new(audit: &Audit, subject: Subject, hidden: Hidden, reservation: Option<Reservation>) -> Self {
        Self { audit: audit.clone(), subject, hidden, attempted: false, reservation, concluded: false }
    }

    /// Marks the change as attempted: from now on it may have been made.
    #[must_use]
    pub fn attempt(self) -> Self {
        let mut this = self;
        this.attempted = true;
        this
    }

    /// The trace of the request that asks for the change.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.subject.origin.trace
    }

    /// Records the outcome.
    pub fn conclude(mut self, outcome: &Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: &Outcome) {
        if std::mem::replace(&mut self.concluded, true) {
            return;
        }
        let (outcome, version, error) = match outcome {
            Outcome::Ended { outcome, version, error } => (*outcome, version.as_deref(), error.as_deref()),
            Outcome::NotAttempted => ("not_attempted", None, None),
        };
        let error = error.map(|error| cut(error, MAX_ERROR));
        let record = OutcomeRecord {
            subject: self.subject,
            instant: Timestamp::now(),
            outcome,
            version,
            error: error.as_deref(),
        };
        let redact = |redaction: &Redaction, line: &mut Value| redaction.outcome(line, &self.hidden);
        let line = self.audit.0.line(&Record::Outcome(record), redact).into_bytes();
        let reservation = self.reservation.take();
        let pushed = match reservation {
            Some(reservation) => {
                reservation.push(line);
                true
            }
            None => self.audit.0.lines.push(line).is_ok(),
        };
        self.audit.0.metrics.recorded("outcome", pushed);
    }
}

impl Drop for PendingOutcome {
    fn drop(&mut self) {
        let unknown =
            || Outcome::Ended { outcome: UNKNOWN, version: None, error: Some("the write was abandoned".into()) };
        self.record(&if self.attempted { unknown() } else { Outcome::NotAttempted });
    }
}
