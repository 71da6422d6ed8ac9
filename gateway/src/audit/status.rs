//! The state of the audit, for the status page.

use serde::Serialize;

use super::{Audit, RedactedField};
use crate::lines::OutputHealth;

/// The state of the audit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditStatus {
    /// Where records go: `stdout` or a path.
    pub output: String,
    /// Whether the last write succeeded, and none is stalled.
    pub writable: bool,
    /// Why records cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many records wait to be written.
    pub waiting: usize,
    /// The bytes that they take in the queue.
    pub waiting_bytes: usize,
    /// Records that the queue had no room for.
    pub unlogged: u64,
    /// Records that were lost, because writing them failed.
    pub lost: u64,
    /// Changes that were refused because their record could not be written.
    pub refused_changes: u64,
    /// Changes that were made without a record.
    pub unrecorded_changes: u64,
    /// The fields that are redacted.
    pub redacted: Vec<RedactedField>,
}

impl Audit {
    /// The current state of the audit.
    pub fn status(&self) -> AuditStatus {
        let OutputHealth { waiting_lines, waiting_bytes, error } = self.0.lines.health();
        let metrics = &self.0.metrics;
        AuditStatus {
            output: self.0.output.clone(),
            writable: error.is_none(),
            error,
            waiting: waiting_lines,
            waiting_bytes,
            unlogged: metrics.unlogged(),
            lost: metrics.lost.get(),
            refused_changes: metrics.refused.get(),
            unrecorded_changes: metrics.unrecorded.get(),
            redacted: self.0.redaction.as_ref().map(|redaction| redaction.fields().to_vec()).unwrap_or_default(),
        }
    }
}
