//! What the listener counts. Labels are bounded: no name and no address.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::handshake::Outcome;
use super::tls::Expiry;

/// The listener's metrics. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ListenerMetrics {
    connections: Gauge,
    handshakes: Family<ByOutcome, Counter>,
    accept_errors: Counter,
    not_after: Family<ByKind, Gauge>,
    next_update: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

impl ListenerMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "connections",
            "Open connections of clients whose certificate was verified",
            metrics.connections.clone(),
        );
        registry.register("handshakes", "TLS handshakes by outcome", metrics.handshakes.clone());
        registry.register(
            "accept_errors",
            "Errors of accept that were not one connection's own",
            metrics.accept_errors.clone(),
        );
        registry.register(
            "certificate_not_after_seconds",
            "When the certificate, or the first of its kind, ends, in Unix time",
            metrics.not_after.clone(),
        );
        registry.register(
            "crl_next_update_seconds",
            "The first nextUpdate of a revocation list, in Unix time; 0 without one",
            metrics.next_update.clone(),
        );
        // A series that appears with its first failure has no rate at that moment.
        for outcome in Outcome::ALL {
            drop(metrics.handshakes.get_or_create(&ByOutcome { outcome: outcome.as_str() }));
        }
        metrics
    }

    pub(super) fn set_expiry(&self, expiry: &Expiry) {
        let set = |kind, end: Timestamp| self.not_after.get_or_create(&ByKind { kind }).set(end.as_second());
        set("server", expiry.server);
        set("client_ca", expiry.client_ca);
        self.next_update.set(expiry.revocation_list.map_or(0, Timestamp::as_second));
    }

    pub(super) fn accept_error(&self) {
        self.accept_errors.inc();
    }

    pub(super) fn handshake(&self, outcome: Outcome) {
        self.handshakes.get_or_create(&ByOutcome { outcome: outcome.as_str() }).inc();
    }

    /// Counts a connection until the guard is dropped.
    pub(super) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
