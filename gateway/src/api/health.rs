//! Whether the gateway is in contact with Kubernetes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::replicas::{Contact, ContactState, Monitor};

/// Tells about the watches, never about what they hold.
#[derive(Debug, Clone)]
pub(super) struct Health(Monitor);

/// What any authenticated client may know.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub(super) struct HealthView {
    status: &'static str,
    kubernetes: KubernetesView,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Kubernetes")]
struct KubernetesView {
    /// Whether every watch is open.
    connected: bool,
    /// Since when all are open, or the first of them is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// How old an answer to a read can be now.
    age_seconds: f64,
}

impl Health {
    pub(super) fn new(monitor: Monitor) -> Self {
        Self(monitor)
    }

    /// Whether everything was read once: from then on reads are served, also in an outage.
    pub(super) fn was_read(&self) -> bool {
        self.0.contact().synced()
    }

    /// Whether every watch is in contact with the API server.
    pub(super) fn is_connected(&self) -> bool {
        is_connected(&self.0.contact())
    }

    /// Whether all is well, and the words for it.
    pub(super) fn view(&self) -> (bool, HealthView) {
        let contact = self.0.contact();
        let connected = is_connected(&contact);
        let since = broken_since(&contact).or_else(|| connected_since(&contact)).and_then(wall_clock);
        let age_seconds = contact.age().as_secs_f64();
        let status = if connected { "ok" } else { "degraded" };
        (connected, HealthView { status, kubernetes: KubernetesView { connected, since, age_seconds } })
    }
}

fn is_connected(contact: &Contact) -> bool {
    contact.synced() && broken_since(contact).is_none()
}

fn broken_since(contact: &Contact) -> Option<Instant> {
    let broken = contact.watches.iter().filter_map(|watch| match watch.state {
        ContactState::Broken { since } => Some(since),
        ContactState::Connected { .. } | ContactState::Forbidden => None,
    });
    broken.min()
}

fn connected_since(contact: &Contact) -> Option<Instant> {
    let connected = contact.watches.iter().filter_map(|watch| match watch.state {
        ContactState::Connected { since } => Some(since),
        ContactState::Broken { .. } | ContactState::Forbidden => None,
    });
    connected.max()
}

fn wall_clock(instant: Instant) -> Option<Timestamp> {
    let ago: Duration = instant.elapsed();
    Timestamp::now().checked_sub(SignedDuration::try_from(ago).ok()?).ok()
}
