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

/// What requests are counted under: the paths of HTTP with what is done there, and the methods of gRPC.
pub(super) const ROUTES: [&str; 19] = [
    "replicas",
    "replicas.set",
    "replicas.release",
    "history",
    "deployments",
    "policies",
    "version",
    "openapi",
    "healthz",
    "GetReplicas",
    "SetReplicas",
    "ReleaseReplicas",
    "ListReplicas",
    "WatchReplicas",
    "ListChanges",
    "ListPolicies",
    "grpc.health",
    "grpc.reflection",
    "none",
];
/// The outcomes that each route has a series of from the start: a series that appears with its first error has no rate
/// then, and these are the errors that operators are alerted to.
const OUTCOMES: [&str; 10] = [
    "ok",
    "internal",
    "kubernetes_unavailable",
    "cache_stale",
    "busy",
    "policy_unavailable",
    "audit_unavailable",
    "version_not_reached",
    "write_rejected",
    "deadline_exceeded",
];

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
        let requests = Family::<Labels, Counter>::default();
        let duration = Family::<RouteLabel, Histogram, _>::new_with_constructor(new_histogram as fn() -> Histogram);
        registry.register("requests", "Requests by route and outcome (ok, or the error's code)", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            duration.clone(),
        );
        for route in ROUTES {
            drop(duration.get_or_create(&RouteLabel { route }));
            for outcome in OUTCOMES {
                drop(requests.get_or_create(&Labels { route, outcome }));
            }
        }
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
        debug_assert!(ROUTES.contains(&route), "{route} is missing from ROUTES");
        self.requests.get_or_create(&Labels { route, outcome }).inc();
        self.duration.get_or_create(&RouteLabel { route }).observe(elapsed.as_secs_f64());
    }
}

/// 50 µs to 13 s.
fn new_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::BTreeSet;
    use std::path::Path;

    use prometheus_client::encoding::text::encode;

    use super::*;

    fn file(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
    }

    /// The codes that the alert on errors counts.
    fn alerted(alerts: &str) -> BTreeSet<&str> {
        let named = alerts.split("scalegate_requests_total{outcome=~\"").nth(1).unwrap();
        named.split('"').next().unwrap().split('|').collect()
    }

    #[test]
    fn the_page_for_operators_names_the_codes_that_the_alert_on_errors_counts() {
        let (page, alerts) = (file("docs/operations.md"), file("charts/scalegate/files/alerts.yaml"));
        let section = page.split("\n### ScalegateErrors\n").nth(1).unwrap();
        let sentence = section.split("It counts ").nth(1).unwrap().split(": ").next().unwrap();
        let named: BTreeSet<_> = sentence.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, alerted(&alerts));
    }

    #[test]
    fn every_route_has_a_series_of_each_outcome_that_an_alert_is_about() {
        let mut registry = Registry::default();
        ApiMetrics::register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let counted: BTreeSet<_> = OUTCOMES.into_iter().filter(|outcome| *outcome != "ok").collect();
        assert_eq!(alerted(&file("charts/scalegate/files/alerts.yaml")), counted);
        for route in ROUTES {
            for outcome in OUTCOMES {
                assert!(
                    text.contains(&format!("requests_total{{route=\"{route}\",outcome=\"{outcome}\"}} 0")),
                    "{route}"
                );
            }
        }
    }
}
