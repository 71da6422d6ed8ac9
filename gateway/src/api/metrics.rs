//! What the API counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Why streams end: first, that the client has closed it.
const STREAM_ENDS: [&str; 5] = ["closed", "policy_changed", "draining", "narrow_it", "deadline_exceeded"];

/// Requests by route and outcome. Both labels come from fixed sets.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    requests: Family<Labels, Counter>,
    duration: Family<RouteLabel, Histogram>,
    streams: Gauge,
    streams_ended: Family<ReasonLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// A stream, counted as open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    metrics: ApiMetrics,
    /// Why it ends.
    pub(super) reason: &'static str,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.metrics.streams.dec();
        self.metrics.streams_ended.get_or_create(&ReasonLabel { reason: self.reason }).inc();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

impl ApiMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let requests = Family::default();
        let duration = Family::new_with_constructor(new_histogram as fn() -> Histogram);
        registry.register("requests", "Requests by route and outcome (ok, or the error's code)", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            duration.clone(),
        );
        let (streams, streams_ended) = (Gauge::default(), Family::default());
        registry.register("streams", "Open streams of changes", streams.clone());
        let help = "Streams of changes that ended, by reason (closed by the client, or the error's code)";
        registry.register("streams_ended", help, streams_ended.clone());
        for reason in STREAM_ENDS {
            drop(streams_ended.get_or_create(&ReasonLabel { reason }));
        }
        Self { requests, duration, streams, streams_ended }
    }

    /// Counts a stream.
    pub(super) fn stream(&self) -> OpenStream {
        self.streams.inc();
        OpenStream { metrics: self.clone(), reason: STREAM_ENDS[0] }
    }

    pub(super) fn observe(&self, route: &'static str, outcome: &'static str, elapsed: Duration) {
        self.requests.get_or_create(&Labels { route, outcome }).inc();
        self.duration.get_or_create(&RouteLabel { route }).observe(elapsed.as_secs_f64());
    }
}

/// 50 µs to 13 s.
fn new_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
}
