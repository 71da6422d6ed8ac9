//! The store behind [`super::Replicas`].

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use kube::core::{Selector, SelectorExt};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::workload::{WorkloadKind, WorkloadRef};

use super::changes::{BACKLOG, CacheChange, Changes};
use super::contact::{Contact, Link, Watched};
use super::feeds::{Feed, Feeds, Topic};
use super::kind::{ObjectName, WatchedKind, workload_of};
use super::scope::Scope;
use super::state::{State, Table, put_back};
use super::waiters::{Waiter, Waiters};
use super::{Observation, Page};

/// How many Deployments one page looks at: until then the watches cannot write, and its thread does nothing else.
const SCAN: usize = 500;

fn in_namespace<'a, T>(table: &'a Table<T>, namespace: &'a str) -> impl Iterator<Item = (&'a ObjectName, &'a Arc<T>)> {
    table.range(ObjectName::new(namespace, "")..).take_while(move |(name, _)| name.namespace == namespace)
}

/// The store, with those who wait for it.
#[derive(Debug)]
pub(super) struct Cache {
    state: RwLock<State>,
    changes: broadcast::Sender<CacheChange>,
    waiters: Waiters,
    feeds: Feeds,
    synced: watch::Sender<bool>,
}

impl Cache {
    /// An empty cache of what lies in `scopes`.
    pub(super) fn new(scopes: &[Scope]) -> Self {
        Self {
            state: RwLock::new(State::empty(scopes)),
            changes: broadcast::Sender::new(BACKLOG),
            waiters: Waiters::default(),
            feeds: Feeds::default(),
            synced: watch::Sender::new(false),
        }
    }
}

/// What readers ask.
impl Cache {
    pub(super) fn observe(&self, name: &WorkloadRef) -> Observation {
        self.read().observe(name)
    }

    pub(super) fn page(
        &self,
        kind: WorkloadKind,
        namespace: Option<&str>,
        after: Option<&WorkloadRef>,
        selector: &Selector,
        limit: usize,
    ) -> Page {
        let after = after.map(ObjectName::of);
        let mut page = Page { items: Vec::new(), scanned: 0, next: None };
        let mut last: Option<&ObjectName> = None;
        let state = self.read();
        for (name, workload) in following(state.workloads.of(kind), namespace, after.as_ref()) {
            let matches = selector.matches(&workload.labels);
            if page.scanned == SCAN || (matches && page.items.len() == limit.max(1)) {
                page.next = last.map(|last| last.workload(kind));
                break;
            }
            page.scanned += 1;
            last = Some(name);
            if matches {
                page.items.push(state.observe(&workload.name));
            }
        }
        page
    }

    pub(super) fn targets(&self) -> Vec<WorkloadRef> {
        self.read().targets.iter().filter_map(|(name, target)| workload_of(name, target)).collect()
    }

    pub(super) fn age(&self, namespace: Option<&str>) -> Duration {
        let (state, now) = (self.read(), Instant::now());
        namespace.map_or_else(|| state.links.oldest(now), |namespace| state.links.age(namespace, || now))
    }

    pub(super) fn contact(&self) -> Contact {
        let now = Instant::now();
        Contact { watches: self.read().links.report(now) }
    }

    pub(super) fn counts(&self) -> [(Watched, usize); Watched::ALL.len()] {
        let state = self.read();
        Watched::ALL.map(|watched| {
            let count = match watched {
                Watched::Deployments => state.workloads.of(WorkloadKind::Deployment).len(),
                Watched::Targets => state.targets.len(),
                Watched::Autoscalers => state.autoscalers.len(),
                Watched::Namespaces => state.namespaces.len(),
            };
            (watched, count)
        })
    }

    pub(super) async fn synced(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    pub(super) fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Begins to wait for changes of `name`.
    pub(super) fn wait_for<'a>(&'a self, name: &'a WorkloadRef) -> Waiter<'a> {
        self.waiters.add(name)
    }

    pub(super) fn subscribe(self: &Arc<Self>) -> Changes {
        Changes { receiver: self.changes.subscribe(), _cache: self.clone() }
    }

    pub(super) fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    pub(super) fn feed(self: &Arc<Self>, topic: Topic) -> Feed {
        self.feeds.subscribe(self.clone(), topic)
    }
}

/// What the watches tell.
impl Cache {
    /// Keeps `item` under `name`, or forgets what was there. Where nothing changed by it, nobody is told.
    pub(super) fn put<K: WatchedKind>(&self, name: &ObjectName, item: Option<K::Item>) {
        let mut state = self.write();
        if K::table(&state).get(name).map(AsRef::as_ref) == item.as_ref() {
            return;
        }
        let item = item.map(Arc::new);
        let before = match item.clone() {
            Some(item) => K::table_mut(&mut state).insert(name.clone(), item),
            None => K::table_mut(&mut state).remove(name),
        };
        if let Some(before) = &before {
            K::removed(&mut state, before);
        }
        if let Some(item) = &item {
            K::added(&mut state, item);
        }
        drop(state);
        let is_seen = before.as_ref().zip(item.as_ref()).is_none_or(|(before, now)| K::is_seen(before, now));
        let [now, before] = [item, before].map(|item| item.and_then(|item| K::concerns(name, &item)));
        let before = before.filter(|before| Some(before) != now.as_ref());
        for name in [now, before].into_iter().flatten() {
            let change = CacheChange::One(name);
            if is_seen {
                self.feeds.tell(&change);
            }
            self.tell(change);
        }
        if K::WATCHED == Watched::Namespaces {
            self.feeds.relabelled(&name.name);
        }
    }

    /// `items`, of which those that the cache has already are the cache's own: a list of what is known needs no second
    /// copy of it.
    pub(super) fn known<K: WatchedKind>(&self, items: Vec<(ObjectName, K::Item)>) -> Vec<(ObjectName, Arc<K::Item>)> {
        let state = self.read();
        let known = |name: &ObjectName, item: K::Item| match K::table(&state).get(name) {
            Some(known) if **known == item => known.clone(),
            _ => Arc::new(item),
        };
        items
            .into_iter()
            .map(|(name, item)| {
                let item = known(&name, item);
                (name, item)
            })
            .collect()
    }

    /// Puts `listed` in the place of all objects of the kind in `scope`; those in `keep` stay as they were if they are
    /// not among them.
    pub(super) fn replace<K: WatchedKind>(
        &self,
        scope: &Scope,
        mut listed: Table<K::Item>,
        keep: &BTreeSet<ObjectName>,
    ) {
        let before = {
            let mut state = self.write();
            let before = take(K::table_mut(&mut state), scope);
            for (name, item) in before.iter().filter(|(name, _)| keep.contains(name)) {
                listed.entry(name.clone()).or_insert_with(|| item.clone());
            }
            for item in before.values() {
                K::removed(&mut state, item);
            }
            for item in listed.values() {
                K::added(&mut state, item);
            }
            put_back(K::table_mut(&mut state), listed);
            if let Some(link) = state.links.get_mut(scope, K::WATCHED) {
                link.listed(Instant::now());
            }
            before
        };
        // Freeing a large table takes a while: not under the lock.
        drop(before);
        self.check_synced();
        self.feeds.tell(&CacheChange::All);
        self.tell(CacheChange::All);
    }

    /// Notes how a watch's stream fares.
    pub(super) fn link(&self, scope: &Scope, watched: Watched, note: impl FnOnce(&mut Link)) {
        if let Some(link) = self.write().links.get_mut(scope, watched) {
            note(link);
        }
        self.check_synced();
    }

    /// Notes when the API server's storage last answered, if it no longer does.
    pub(super) fn note_storage(&self, unconfirmed: Option<Instant>) {
        self.write().links.unconfirmed = unconfirmed;
    }

    fn check_synced(&self) {
        if !self.is_synced() && self.read().links.synced() {
            self.synced.send_replace(true);
        }
    }

    fn tell(&self, change: CacheChange) {
        self.waiters.wake(&change);
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    /// A panic while the lock was held cannot leave a table half changed, so a poisoned lock is as good as another.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what lies in `scope` out of `table`.
fn take<T>(table: &mut Table<T>, scope: &Scope) -> Table<T> {
    let Some(namespace) = scope.name() else { return std::mem::take(table) };
    let names: Vec<_> = in_namespace(table, namespace).map(|(name, _)| name.clone()).collect();
    names.into_iter().filter_map(|name| table.remove_entry(&name)).collect()
}

/// The part of `table` after `after`, in `namespace` or all.
fn following<'a, T>(
    table: &'a Table<T>,
    namespace: Option<&'a str>,
    after: Option<&'a ObjectName>,
) -> impl Iterator<Item = (&'a ObjectName, &'a Arc<T>)> {
    let first = ObjectName::new(namespace.unwrap_or_default(), "");
    let start = match after {
        // A position in an earlier namespace than the wanted one must not bring others in.
        Some(after) if *after >= first => Bound::Excluded(after.clone()),
        _ => Bound::Included(first),
    };
    table.range((start, Bound::Unbounded)).take_while(move |(name, _)| namespace.is_none_or(|ns| name.namespace == ns))
}

#[cfg(test)]
mod tests;
