//! What the reconciler tells Prometheus.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::plan::Cause;
use super::writer::WriteError;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScaleLabels {
    cause: &'static str,
}

/// The reconciler's metrics. Clones share their values.
#[derive(Debug, Clone)]
pub struct ReconcilerMetrics {
    duration: Histogram,
    errors: Family<ErrorLabels, Counter>,
    scales: Family<ScaleLabels, Counter>,
    leader: Gauge,
    queue_depth: Gauge,
    contended: Gauge,
}

impl ReconcilerMetrics {
    /// Adds the metrics to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            errors: Family::default(),
            scales: Family::default(),
            leader: Gauge::default(),
            queue_depth: Gauge::default(),
            contended: Gauge::default(),
        };
        registry.register_with_unit(
            "reconcile_duration",
            "How long one look at a target took, with its writes",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register("reconcile_errors", "Writes that failed, by reason", metrics.errors.clone());
        registry.register("scales", "Counts written to Deployments, by cause", metrics.scales.clone());
        registry.register("leader", "1 while this process reconciles, else 0", metrics.leader.clone());
        registry.register(
            "queue_depth",
            "Targets that are due and that no worker has taken yet",
            metrics.queue_depth.clone(),
        );
        registry.register(
            "contended_targets",
            "Targets whose condition Contended is true; 0 unless this process leads",
            metrics.contended.clone(),
        );
        metrics.begin();
        metrics
    }

    /// Every series from zero: one that appears with its first count has no rate at that moment.
    fn begin(&self) {
        for reason in WriteError::REASONS {
            drop(self.errors.get_or_create(&ErrorLabels { reason }));
        }
        for cause in [Cause::Change, Cause::Drift] {
            drop(self.scales.get_or_create(&labels(cause)));
        }
    }

    pub(super) fn reconciled(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.errors.get_or_create(&ErrorLabels { reason }).inc();
    }

    pub(super) fn scaled(&self, cause: Cause) {
        self.scales.get_or_create(&labels(cause)).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(super) fn queued(&self, depth: usize) {
        self.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    pub(super) fn contended(&self, targets: usize) {
        self.contended.set(i64::try_from(targets).unwrap_or(i64::MAX));
    }
}

fn labels(cause: Cause) -> ScaleLabels {
    let cause = match cause {
        Cause::Change => "change",
        Cause::Drift => "drift",
    };
    ScaleLabels { cause }
}
