//! The links of all watches, by where they look.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::contact::{Link, WatchContact, Watched};
use super::scope::Scope;

/// The links of all watches, and the storage behind them.
#[derive(Debug)]
pub(super) struct Links {
    /// One for each kind that is watched in each scope, in the order of [`Watched::ALL`].
    by_scope: BTreeMap<Scope, Vec<(Watched, Link)>>,
    /// When the API server's storage last answered, if it no longer does. Streams stay open then, and bring nothing.
    pub(super) unconfirmed: Option<Instant>,
}

impl Links {
    /// Links that have brought nothing yet.
    pub(super) fn new(scopes: &[Scope], now: Instant) -> Self {
        let links = |scope: &Scope| scope.watched().iter().map(|watched| (*watched, Link::new(now))).collect();
        Self { by_scope: scopes.iter().map(|scope| (scope.clone(), links(scope))).collect(), unconfirmed: None }
    }

    /// The link of the watch for `watched` in `scope`, if there is such a watch.
    pub(super) fn get_mut(&mut self, scope: &Scope, watched: Watched) -> Option<&mut Link> {
        let links = self.by_scope.get_mut(scope)?;
        links.iter_mut().find(|(of, _)| *of == watched).map(|(_, link)| link)
    }

    /// The age of the oldest watch that brings what lies in `namespace`, and at least that of the storage. No watch looks
    /// at a namespace that is not watched, which holds nothing.
    pub(super) fn age(&self, namespace: &str, mut now: impl FnMut() -> Instant) -> Duration {
        let watching = ["", namespace].into_iter().filter_map(|scope| self.by_scope.get(scope));
        let oldest = watching.flatten().map(|(_, link)| link.age(&mut now)).max().unwrap_or_default();
        oldest.max(self.storage_age(now))
    }

    /// The age of the oldest watch, and at least that of the storage.
    pub(super) fn oldest(&self, now: Instant) -> Duration {
        let oldest = self.by_scope.values().flatten().map(|(_, link)| link.age(|| now)).max().unwrap_or_default();
        oldest.max(self.storage_age(|| now))
    }

    fn storage_age(&self, now: impl FnOnce() -> Instant) -> Duration {
        self.unconfirmed.map_or(Duration::ZERO, |since| now().saturating_duration_since(since))
    }

    pub(super) fn synced(&self) -> bool {
        self.by_scope.values().flatten().all(|(_, link)| link.is_synced())
    }

    pub(super) fn report(&self, now: Instant) -> Vec<WatchContact> {
        let links = self.by_scope.iter().flat_map(|(scope, links)| links.iter().map(move |link| (scope, link)));
        let contacts = links.map(|(scope, (watched, link))| link.report(scope, *watched, now));
        let confirmed = |contact: WatchContact| match self.unconfirmed {
            Some(since) => contact.unconfirmed(since, now),
            None => contact,
        };
        contacts.map(confirmed).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::super::contact::{Break, ContactState};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn links(namespaces: &[&str], now: Instant) -> Links {
        let namespaces: Vec<_> = namespaces.iter().map(|name| (*name).to_owned()).collect();
        Links::new(&Scope::of(&namespaces), now)
    }

    fn connect(links: &mut Links, scope: &Scope, now: Instant) {
        for watched in scope.watched() {
            let link = links.get_mut(scope, *watched).unwrap();
            link.listed(now);
            link.opened(now);
        }
    }

    #[test]
    fn a_whole_cluster_is_four_watches_and_a_listed_namespace_three() {
        let now = Instant::now();
        let watched = |links: &Links| links.report(now).iter().map(|watch| watch.watched).collect::<Vec<_>>();
        assert_eq!(watched(&links(&[], now)), Watched::ALL);
        assert_eq!(watched(&links(&["a", "b"], now)), [&Watched::ALL[..3], &Watched::ALL[..3]].concat());
    }

    #[test]
    fn all_listed_namespaces_must_have_been_listed() {
        let now = Instant::now();
        let mut links = links(&["a", "b"], now);
        connect(&mut links, &Scope::namespace("a"), now);
        assert!(!links.synced());
        connect(&mut links, &Scope::namespace("b"), now);
        assert!(links.synced());
    }

    #[test]
    fn what_is_known_is_as_old_as_the_storage_although_every_stream_is_open() {
        let start = Instant::now();
        let mut links = links(&[], start);
        connect(&mut links, &Scope::cluster(), start);
        links.unconfirmed = Some(start + SECOND);
        let now = start + 10 * SECOND;
        assert_eq!((links.age("a", || now), links.oldest(now)), (9 * SECOND, 9 * SECOND));
        for watch in links.report(now) {
            assert_eq!((watch.state, watch.age), (ContactState::Broken { since: start + SECOND }, 9 * SECOND));
        }
        links.get_mut(&Scope::cluster(), Watched::Targets).unwrap().broke(start, Break::Seen);
        assert_eq!(links.oldest(now), 10 * SECOND, "the older of the two");
        links.unconfirmed = None;
        assert_eq!(links.age("a", || now), 10 * SECOND);
    }

    #[test]
    fn what_lies_in_a_namespace_is_as_old_as_that_namespaces_watches() {
        let start = Instant::now();
        let mut links = links(&["a", "b"], start);
        connect(&mut links, &Scope::namespace("a"), start);
        let now = || start + SECOND;
        assert_eq!(links.age("a", now), Duration::ZERO);
        assert_eq!(links.age("b", now), SECOND);
        assert_eq!(links.age("elsewhere", now), Duration::ZERO);
    }
}
