//! Where a watch stands, and how soon it tries again.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::super::kind::WatchedKind;
use super::super::scope::Scope;
use super::{End, Position};
use crate::backoff::Backoff;

/// The wait before a watch that ended in trouble is tried again.
const RETRY: Backoff = Backoff { first: Duration::from_millis(250), longest: Duration::from_secs(10) };

/// Where a watch stands.
pub(super) struct Progress {
    /// Where it looks.
    pub(super) scope: Scope,
    /// Up to where the cache is complete; `None` before the first list and when the API server no longer knows it.
    pub(super) position: Option<Position>,
    /// The position comes from a list, and no stream has gone on from it yet.
    pub(super) just_listed: bool,
    /// How often it ended in trouble since a stream was good.
    failures: u32,
    /// The trouble was told; the next good news is told too.
    pub(super) troubled: bool,
}

impl Progress {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, position: None, just_listed: false, failures: 0, troubled: false }
    }

    /// How long to wait before the next attempt, after `end`.
    pub(super) fn after<K: WatchedKind>(&mut self, end: &End) -> Option<Duration> {
        let (resource, namespace) = (K::WATCHED.as_str(), self.scope.name());
        match end {
            End::Closed => {
                debug!(resource, namespace, "watch closed, going on");
                return None;
            }
            End::Gone(told) => {
                info!(resource, namespace, told, "watch fell behind, listing again");
                // At once, unless a list or its very position was refused: then something is wrong with the server.
                if self.position.take().is_some() && !self.just_listed {
                    return None;
                }
            }
            trouble if self.troubled => {
                debug!(resource, namespace, error = trouble.in_full(), "watch still in trouble");
            }
            trouble => {
                let what = match trouble {
                    End::Forbidden(_) => {
                        "watch forbidden, trying again until a role allows it to the gateway's account"
                    }
                    _ => "watch in trouble, trying again until it works",
                };
                warn!(resource, namespace, error = trouble.in_full(), "{what}");
                self.troubled = true;
            }
        }
        self.failures = self.failures.saturating_add(1);
        Some(RETRY.jittered(self.failures))
    }

    /// The stream is good: it said something, or lasted.
    pub(super) fn is_alive(&mut self) {
        self.just_listed = false;
        self.failures = 0;
    }
}
