//! Metrics of the audit records.

use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::lines::Lines;

/// The kinds of records that are counted.
const KINDS: [&str; 4] = ["decision", "list", "outcome", "stream"];

type Label = (&'static str, &'static str);

/// The metrics of the audit. Clones share the counters.
#[derive(Debug, Clone)]
pub struct AuditMetrics {
    records: Family<[Label; 2], Counter>,
    /// Records that were queued, and lost because writing them failed.
    pub(super) lost: Counter,
    /// Changes that were refused because their record could not be written.
    pub(super) refused: Counter,
    /// Changes that were made without a record.
    pub(super) unrecorded: Counter,
    queue: Queue,
}

/// The queue, once there is one; its size is read at each scrape.
#[derive(Debug, Clone, Default)]
struct Queue(Arc<OnceLock<Lines>>);

impl AuditMetrics {
    /// Registers the metrics in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            records: Family::default(),
            lost: Counter::default(),
            refused: Counter::default(),
            unrecorded: Counter::default(),
            queue: Queue::default(),
        };
        for kind in KINDS {
            for result in ["queued", "full"] {
                let _ = this.records.get_or_create(&[("kind", kind), ("result", result)]);
            }
        }
        let help =
            "Audit records by kind, and whether the queue had room; a record that it has no room for is not written";
        registry.register("audit_records", help, this.records.clone());
        let help = "Audit records that were queued and lost, because writing them failed";
        registry.register("audit_lost", help, this.lost.clone());
        let help = "Changes that the policies allowed, refused because their record could not be written";
        registry.register("audit_refused_changes", help, this.refused.clone());
        let help = "Changes that were made without a record, as audit.whenFull allows";
        registry.register("audit_unrecorded_changes", help, this.unrecorded.clone());
        registry.register_collector(Box::new(this.queue.clone()));
        this
    }

    /// How many records the queue had no room for.
    pub(super) fn unlogged(&self) -> u64 {
        let full = |kind| self.records.get_or_create(&[("kind", kind), ("result", "full")]).get();
        KINDS.into_iter().map(full).sum()
    }

    pub(super) fn recorded(&self, kind: &'static str, queued: bool) {
        let result = if queued { "queued" } else { "full" };
        self.records.get_or_create(&[("kind", kind), ("result", result)]).inc();
    }

    pub(super) fn queued(&self, lines: Lines) {
        // A process has one queue.
        let _ = self.queue.0.set(lines);
    }
}

impl Collector for Queue {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bytes = self.0.get().map_or(0, Lines::queued_bytes);
        let help = "The audit records that wait to be written";
        let metric = encoder.encode_descriptor("audit_queue", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(metric)
    }
}
