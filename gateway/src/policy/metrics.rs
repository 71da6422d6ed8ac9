//! What Prometheus learns about decisions and policies.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::set::SetDigest;

/// 10 µs to 1 s: a decision takes some ten to some hundred microseconds, and a deadline ends it at 1 s.
const BUCKETS: [f64; 16] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
];

type Label = (&'static str, &'static str);

/// The metrics of the policies. Clones share them.
#[derive(Debug, Clone)]
pub struct PolicyMetrics {
    decisions: Family<[Label; 2], Counter>,
    repeated: Counter,
    duration: Histogram,
    reloads: Family<[Label; 1], Counter>,
    set_info: Family<[(&'static str, String); 1], Gauge>,
    last_success: Gauge,
    failing: Gauge,
}

impl PolicyMetrics {
    /// Registers them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let this = Self {
            decisions: Family::default(),
            repeated: Counter::default(),
            duration: Histogram::new(BUCKETS),
            reloads: Family::default(),
            set_info: Family::default(),
            last_success: Gauge::default(),
            failing: Gauge::default(),
        };
        registry.register(
            "decisions",
            "Decisions by action and outcome, each item of a list included",
            this.decisions.clone(),
        );
        let help = "Decisions among these whose answer was given before, about objects that did not change since";
        registry.register("repeated_decisions", help, this.repeated.clone());
        let help = "How long the evaluation of a decision took";
        registry.register_with_unit("decision_duration", help, Unit::Seconds, this.duration.clone());
        registry.register("policy_reloads", "Attempts to load the policies, by outcome", this.reloads.clone());
        registry.register("policy_set_info", "The digest of the policies that serve", this.set_info.clone());
        let help = "When the policies were last found good, in seconds since 1970";
        registry.register("policy_last_reload_success_timestamp_seconds", help, this.last_success.clone());
        let help = "1 while the policies that serve are older than what the files say, else 0";
        registry.register("policy_reload_failing", help, this.failing.clone());
        this
    }

    pub(super) fn decided(&self, action: &'static str, outcome: &'static str, elapsed: Duration) {
        self.decisions.get_or_create(&[("action", action), ("outcome", outcome)]).inc();
        self.duration.observe(elapsed.as_secs_f64());
    }

    /// Counts a decision whose answer was given before.
    pub(super) fn repeated(&self, action: &'static str, outcome: &'static str) {
        self.decisions.get_or_create(&[("action", action), ("outcome", outcome)]).inc();
        self.repeated.inc();
    }

    pub(super) fn loaded(&self, digest: &SetDigest) {
        self.reloads.get_or_create(&[("outcome", "success")]).inc();
        self.set_info.clear();
        self.set_info.get_or_create(&[("digest", digest.to_string())]).set(1);
        self.last_success.set(Timestamp::now().as_second());
        self.failing.set(0);
    }

    #[cfg(test)]
    pub(super) fn failures(&self) -> u64 {
        self.reloads.get_or_create(&[("outcome", "failure")]).get()
    }

    pub(super) fn failed(&self) {
        self.reloads.get_or_create(&[("outcome", "failure")]).inc();
        self.failing.set(1);
    }
}
