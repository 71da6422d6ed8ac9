//! The links of all watches, by where they look.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::contact::{Link, WatchContact, Watched};
use super::scope::Scope;

/// One link for each kind that is watched in each scope, in the order of [`Watched::ALL`].
#[derive(Debug)]
pub(super) struct Links(BTreeMap<Scope, Vec<(Watched, Link)>>);

impl Links {
    /// Links that have brought nothing yet.
    pub(super) fn new(scopes: &[Scope], now: Instant) -> Self {
        let links = |scope: &Scope| scope.watched().iter().map(|watched| (*watched, Link::new(now))).collect();
        Self(scopes.iter().map(|scope| (scope.clone(), links(scope))).collect())
    }

    /// The link of the watch for `watched` in `scope`, if there is such a watch.
    pub(super) fn get_mut(&mut self, scope: &Scope, watched: Watched) -> Option<&mut Link> {
        let links = self.0.get_mut(scope)?;
        links.iter_mut().find(|(of, _)| *of == watched).map(|(_, link)| link)
    }

    /// The age of the oldest watch that brings what lies in `namespace`. A namespace that is not watched has no age: it
    /// holds nothing.
    pub(super) fn age(&self, namespace: &str, mut now: impl FnMut() -> Instant) -> Duration {
        let watching = ["", namespace].into_iter().filter_map(|scope| self.0.get(scope));
        watching.flatten().map(|(_, link)| link.age(&mut now)).max().unwrap_or_default()
    }

    /// The age of the oldest watch.
    pub(super) fn oldest(&self, now: Instant) -> Duration {
        self.0.values().flatten().map(|(_, link)| link.age(|| now)).max().unwrap_or_default()
    }

    pub(super) fn synced(&self) -> bool {
        self.0.values().flatten().all(|(_, link)| link.is_synced())
    }

    pub(super) fn report(&self, now: Instant) -> Vec<WatchContact> {
        let links = self.0.iter().flat_map(|(scope, links)| links.iter().map(move |(of, link)| (scope, *of, link)));
        links.map(|(scope, watched, link)| link.report(scope, watched, now)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

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
