//! What the listener counts. Labels are bounded: no name and no address.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::authorities::Objection;
use super::outcome::Outcome;
use super::tls::Expiry;
use crate::clients::Exceeded;

/// The reason of a connection whose client does not read an answer.
const UNREAD: &str = "unread";
/// The reason of a connection that has reached its greatest age.
const OLD: &str = "old";

/// The listener's metrics. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ListenerMetrics {
    connections: Gauge,
    handshakes: Family<ByOutcome, Counter>,
    accept_errors: Counter,
    not_after: Family<ByKind, Gauge>,
    next_update: Gauge,
    ended: Family<ByReason, Counter>,
    no_place: Family<ByBound, Counter>,
    reloads: Family<ByOutcome, Counter>,
    last_success: Gauge,
    failing: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByBound {
    bound: &'static str,
}

impl ByBound {
    fn of(exceeded: Exceeded) -> Self {
        Self {
            bound: match exceeded {
                Exceeded::Client => "client",
                Exceeded::All => "all",
                Exceeded::Rate { .. } => "rate",
            },
        }
    }
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
        registry.register(
            "connections_ended",
            "Connections that were ended because of the client's certificate or because it left an answer unread, or were asked to end because of their age, by reason",
            metrics.ended.clone(),
        );
        registry.register(
            "connections_refused",
            "Verified connections that were refused, by limit: the client's or the shared one",
            metrics.no_place.clone(),
        );
        metrics.register_reloads(registry);
        // A series that appears with its first failure has no rate at that moment.
        for outcome in Outcome::ALL {
            drop(metrics.handshakes.get_or_create(&ByOutcome { outcome: outcome.as_str() }));
        }
        for objection in Objection::ALL {
            drop(metrics.ended.get_or_create(&ByReason { reason: objection.as_str() }));
        }
        for reason in [UNREAD, OLD] {
            drop(metrics.ended.get_or_create(&ByReason { reason }));
        }
        for exceeded in [Exceeded::Client, Exceeded::All] {
            drop(metrics.no_place.get_or_create(&ByBound::of(exceeded)));
        }
        for outcome in ["ok", "failed"] {
            drop(metrics.reloads.get_or_create(&ByOutcome { outcome }));
        }
        metrics
    }

    fn register_reloads(&self, registry: &mut Registry) {
        let help = "Attempts to load certificates, keys and revocation lists, by outcome";
        registry.register("tls_reloads", help, self.reloads.clone());
        let help = "When certificates, keys and revocation lists were last found good, in seconds since 1970";
        registry.register("tls_last_reload_success_timestamp_seconds", help, self.last_success.clone());
        let help = "1 while the certificates in force are older than what the files say, else 0";
        registry.register("tls_reload_failing", help, self.failing.clone());
    }

    /// What the files hold is in force.
    pub(super) fn tls_loaded(&self, expiry: &Expiry) {
        self.reloads.get_or_create(&ByOutcome { outcome: "ok" }).inc();
        self.last_success.set(Timestamp::now().as_second());
        self.failing.set(0);
        self.set_expiry(expiry);
    }

    /// What the files hold cannot be used.
    pub(super) fn tls_failed(&self) {
        self.reloads.get_or_create(&ByOutcome { outcome: "failed" }).inc();
        self.failing.set(1);
    }

    /// A connection is ended because of the client's certificate.
    pub(super) fn ended(&self, objection: Objection) {
        self.ended.get_or_create(&ByReason { reason: objection.as_str() }).inc();
    }

    /// A connection is ended because its client does not read an answer.
    pub(super) fn unread(&self) {
        self.ended.get_or_create(&ByReason { reason: UNREAD }).inc();
    }

    /// A connection is too old: its client is asked to go on with another.
    pub(super) fn old(&self) {
        self.ended.get_or_create(&ByReason { reason: OLD }).inc();
    }

    /// A connection of a verified client was refused.
    pub(super) fn no_place(&self, exceeded: Exceeded) {
        self.no_place.get_or_create(&ByBound::of(exceeded)).inc();
    }

    fn set_expiry(&self, expiry: &Expiry) {
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
