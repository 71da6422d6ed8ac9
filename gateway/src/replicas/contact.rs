//! How well each watch is in contact with the API server.

use std::time::Duration;

use tokio::time::Instant;

use super::scope::Scope;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Watched {
    /// Deployments.
    Deployments,
    /// `ReplicaTarget`s.
    Targets,
    /// `HorizontalPodAutoscaler`s.
    Autoscalers,
    /// Namespaces.
    Namespaces,
}

impl Watched {
    /// Everything that is watched.
    pub const ALL: [Self; 4] = [Self::Deployments, Self::Targets, Self::Autoscalers, Self::Namespaces];

    /// The plural name of the resource, as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Targets => "replicatargets",
            Self::Autoscalers => "horizontalpodautoscalers",
            Self::Namespaces => "namespaces",
        }
    }

    /// Whether the gateway can do without it when its role forbids the watch: then policies see no namespace labels.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Namespaces)
    }
}

/// The contact of all watches at one instant.
#[derive(Debug, Clone)]
pub struct Contact {
    /// One entry for each watch: for each of [`Watched::ALL`] in that order, or, where namespaces are listed, for each
    /// namespace and each of them but Namespaces.
    pub watches: Vec<WatchContact>,
}

impl Contact {
    /// The age of the oldest watch: the most that an [`super::Observation`] may say of itself.
    pub fn age(&self) -> Duration {
        self.watches.iter().map(|watch| watch.age).max().unwrap_or_default()
    }

    /// Whether every watch has listed once.
    pub fn synced(&self) -> bool {
        self.watches.iter().all(|watch| watch.synced)
    }
}

/// The contact of one watch.
#[derive(Debug, Clone)]
pub struct WatchContact {
    /// What it watches.
    pub watched: Watched,
    /// Where.
    pub scope: Scope,
    /// Whether it is in contact.
    pub state: ContactState,
    /// How old its part of the cache is; see the module.
    pub age: Duration,
    /// Whether it has listed once (or is forbidden, and can be done without).
    pub synced: bool,
}

impl WatchContact {
    /// The same while the API server's storage has not answered since `since`: an open stream brings nothing then.
    pub(super) fn unconfirmed(self, since: Instant, now: Instant) -> Self {
        let state = match self.state {
            ContactState::Connected { .. } => ContactState::Broken { since },
            ContactState::Broken { since: broke } => ContactState::Broken { since: broke.min(since) },
            ContactState::Forbidden => return self,
        };
        Self { state, age: self.age.max(now.saturating_duration_since(since)), ..self }
    }
}

/// Whether a watch is in contact with the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactState {
    /// The stream is open since then.
    Connected {
        /// When it opened.
        since: Instant,
    },
    /// There is no stream, it is silent for too long, or the API server's storage does not answer.
    Broken {
        /// When it broke, or was last known to live.
        since: Instant,
    },
    /// The API server forbids the watch, and the gateway does without.
    Forbidden,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// It was seen to end, so until then it told everything.
    Seen,
    /// It has been silent for too long, so it may have died right after its last sign of life.
    Silent,
    /// It told that something was missed, so the cache is only as fresh as what came before.
    Missed,
}

/// What is known about one watch's stream.
#[derive(Debug, Clone)]
pub(super) struct Link {
    state: ContactState,
    /// When the stream last said anything, and be it that it opens.
    last_sign: Instant,
    /// When the cache was last known to be complete.
    complete: Instant,
    /// Since when the next stream is waited for, after one that the API server closed as planned.
    reopening: Option<Instant>,
    listed: bool,
}

impl Link {
    pub(super) fn new(now: Instant) -> Self {
        let state = ContactState::Broken { since: now };
        Self { state, last_sign: now, complete: now, reopening: None, listed: false }
    }

    /// Everything was listed; the stream is to follow.
    pub(super) fn listed(&mut self, now: Instant) {
        self.listed = true;
        self.state = ContactState::Broken { since: now };
    }

    pub(super) fn opened(&mut self, now: Instant) {
        match self.state {
            ContactState::Connected { .. } => {}
            ContactState::Broken { since } => {
                self.complete = since;
                self.state = ContactState::Connected { since: now };
            }
            ContactState::Forbidden => self.state = ContactState::Connected { since: now },
        }
        self.reopening = None;
        self.last_sign = now;
    }

    /// The stream ended as planned, and the next one is asked for. Until it opens, what is known grows old.
    pub(super) fn closed(&mut self, now: Instant) {
        self.sign_of_life(now);
        self.reopening = Some(now);
    }

    pub(super) fn sign_of_life(&mut self, now: Instant) {
        self.last_sign = now;
        self.complete = now;
    }

    pub(super) fn broke(&mut self, now: Instant, how: Break) {
        if let ContactState::Connected { .. } = self.state {
            let since = match how {
                Break::Seen => self.reopening.unwrap_or(now),
                Break::Silent => self.last_sign,
                Break::Missed => self.complete,
            };
            self.state = ContactState::Broken { since };
        }
        self.reopening = None;
    }

    /// The watch is forbidden and can be done without. One that has listed is merely broken: what it brought serves on
    /// and grows old, and an API server that starts says 403 before it has read its own roles.
    pub(super) fn forbidden(&mut self) {
        if !self.listed {
            self.state = ContactState::Forbidden;
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.listed || self.state == ContactState::Forbidden
    }

    pub(super) fn age(&self, now: impl FnOnce() -> Instant) -> Duration {
        match self.state {
            ContactState::Broken { since } => now().saturating_duration_since(since),
            ContactState::Connected { .. } => {
                self.reopening.map_or(Duration::ZERO, |since| now().saturating_duration_since(since))
            }
            ContactState::Forbidden => Duration::ZERO,
        }
    }

    pub(super) fn report(&self, scope: &Scope, watched: Watched, now: Instant) -> WatchContact {
        let scope = scope.clone();
        WatchContact { watched, scope, state: self.state, age: self.age(|| now), synced: self.is_synced() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_age_is_zero_while_a_stream_is_open_and_counts_from_its_break() {
        let start = Instant::now();
        let mut link = Link::new(start);
        assert_eq!(link.age(|| start + 2 * SECOND), 2 * SECOND, "never connected");

        link.opened(start + 3 * SECOND);
        assert_eq!(link.age(|| start + 50 * SECOND), Duration::ZERO);

        link.broke(start + 60 * SECOND, Break::Seen);
        assert_eq!(link.age(|| start + 64 * SECOND), 4 * SECOND);
        link.broke(start + 70 * SECOND, Break::Seen);
        assert_eq!(link.age(|| start + 74 * SECOND), 14 * SECOND, "a second failure does not rejuvenate");
    }

    #[test]
    fn what_is_known_grows_old_from_the_planned_end_of_a_stream_until_the_next_one_opens() {
        let start = Instant::now();
        let mut link = Link::new(start);
        link.opened(start);
        link.closed(start + 20 * SECOND);
        assert_eq!(link.age(|| start + 49 * SECOND), 29 * SECOND);
        link.broke(start + 50 * SECOND, Break::Seen);
        assert_eq!(link.age(|| start + 51 * SECOND), 31 * SECOND, "no answer came");
        link.opened(start + 60 * SECOND);
        assert_eq!(link.age(|| start + 70 * SECOND), Duration::ZERO);
        link.broke(start + 80 * SECOND, Break::Seen);
        assert_eq!(link.age(|| start + 81 * SECOND), SECOND);
    }

    #[test]
    fn a_silent_stream_is_as_old_as_its_last_sign_of_life() {
        let start = Instant::now();
        let mut link = Link::new(start);
        link.opened(start);
        link.sign_of_life(start + 10 * SECOND);
        link.broke(start + 100 * SECOND, Break::Silent);
        assert_eq!(link.age(|| start + 100 * SECOND), 90 * SECOND);
    }

    #[test]
    fn a_stream_that_tells_of_missed_changes_does_not_rejuvenate_the_cache() {
        let start = Instant::now();
        let mut link = Link::new(start);
        link.opened(start);
        link.broke(start + 10 * SECOND, Break::Seen);
        link.opened(start + 30 * SECOND);
        link.broke(start + 30 * SECOND, Break::Missed);
        assert_eq!(link.age(|| start + 32 * SECOND), 22 * SECOND);
        link.listed(start + 33 * SECOND);
        assert_eq!(link.age(|| start + 34 * SECOND), SECOND, "a list does");
    }

    #[test]
    fn a_forbidden_watch_is_synced_and_adds_no_age() {
        let start = Instant::now();
        let mut link = Link::new(start);
        assert!(!link.is_synced());
        link.forbidden();
        assert!(link.is_synced());
        assert_eq!(link.age(|| start + SECOND), Duration::ZERO);
    }

    #[test]
    fn a_watch_that_is_forbidden_after_it_has_listed_grows_old() {
        let start = Instant::now();
        let mut link = Link::new(start);
        link.listed(start);
        link.opened(start);
        link.broke(start, Break::Seen);
        link.forbidden();
        assert_eq!(link.age(|| start + SECOND), SECOND);
    }
}
