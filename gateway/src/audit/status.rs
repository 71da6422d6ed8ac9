//! How the audit is, for people.

use serde::Serialize;

use super::{Audit, RedactedField};
use crate::lines::OutputHealth;

/// How the audit is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditStatus {
    /// Where records go: `stdout` or a path.
    pub output: String,
    /// Whether they could be written when this was last tried.
    pub writable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The records that wait.
    pub waiting: usize,
    /// Their bytes in the queue.
    pub waiting_bytes: usize,
    /// Records that there was no room for.
    pub unlogged: u64,
    /// Records that were lost, because writing them failed.
    pub lost: u64,
    /// Changes that were refused for want of a record.
    pub refused_changes: u64,
    /// Changes that were made without one.
    pub unrecorded_changes: u64,
    /// What is redacted.
    pub redacted: Vec<RedactedField>,
}

impl Audit {
    /// How it is now.
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
