//! Audit records for tests.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::lines::{LineWriter, Output};

use super::{
    Audit, AuditMetrics, AuditSettings, DecisionRecord, Origin, PendingOutcome, RedactKey, RedactedField, Redaction,
    Subject, WhenFull,
};

/// An audit into a temporary file.
pub(crate) struct Recorded {
    pub(crate) audit: Audit,
    pub(crate) registry: Registry,
    writer: LineWriter,
    directory: TempDir,
}

impl Recorded {
    pub(crate) fn new() -> Self {
        Self::with(1 << 20, WhenFull::Refuse)
    }

    /// An audit that redacts `fields`.
    pub(crate) fn redacting(fields: &[RedactedField]) -> Self {
        let key = RedactKey::new(b"sixteen bytes it").unwrap();
        Self::start(1 << 20, WhenFull::Refuse, Some(Redaction::new(fields.to_vec(), key)))
    }

    pub(crate) fn with(queue_bytes: usize, when_full: WhenFull) -> Self {
        Self::start(queue_bytes, when_full, None)
    }

    fn start(queue_bytes: usize, when_full: WhenFull, redaction: Option<Redaction>) -> Self {
        let (directory, mut registry) = (TempDir::new().unwrap(), Registry::default());
        let output = Output::File(directory.path().join("audit.jsonl"));
        let settings = AuditSettings { output, queue_bytes, when_full, gateway: "gateway-0".to_owned(), redaction };
        let (audit, writer) = Audit::start(settings, AuditMetrics::register(&mut registry)).unwrap();
        Self { audit, registry, writer, directory }
    }

    /// Records an allowed change.
    pub(crate) async fn permitted(&self) -> PendingOutcome {
        self.audit.permitted(&change("{}")).await.unwrap()
    }

    /// Ends the audit and returns the text of all its records.
    pub(crate) fn text(self) -> String {
        drop(self.audit);
        assert!(self.writer.close(Duration::from_mins(1)), "records wait to be written");
        std::fs::read_to_string(self.directory.path().join("audit.jsonl")).unwrap()
    }

    /// Ends the audit and returns all its records.
    pub(crate) fn records(self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The origin of an arbitrary request.
pub(crate) fn origin() -> Origin {
    Origin { request_id: Uuid::nil(), peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40000)), trace: None }
}

/// An audit whose records are not checked.
pub(crate) fn audit() -> Audit {
    Recorded::new().audit
}

/// The record of an allowed read.
pub(crate) fn read(input: &str) -> DecisionRecord<'_> {
    DecisionRecord {
        subject: Subject { decision_id: Uuid::nil(), origin: origin() },
        instant: Timestamp::UNIX_EPOCH,
        client_id: "uri:spiffe://scalegate.test/ci",
        trust_domain: "scalegate.test",
        serial: "5f1c",
        action: "get",
        dry_run: false,
        workload_kind: "Deployment",
        namespace: "demo",
        name: "web",
        outcome: "allowed",
        cause: None,
        reasons: &[],
        modules: &[],
        asked_time: false,
        policy_set: "0190",
        elapsed_micros: 42,
        cached: false,
        changes: false,
        input_version: "scalegate.dev/v1",
        input,
        named: None,
        share: share(),
    }
}

fn share() -> &'static Arc<str> {
    static SHARE: LazyLock<Arc<str>> = LazyLock::new(|| "scalegate.test\0uri:spiffe://scalegate.test/ci".into());
    &SHARE
}

/// The record of an allowed change.
pub(crate) fn change(input: &str) -> DecisionRecord<'_> {
    DecisionRecord { action: "set", changes: true, ..read(input) }
}
