//! The store behind [`super::Replicas`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::core::{Selector, SelectorExt};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::resource::ReplicaTarget;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::changes::{BACKLOG, CacheChange, Changes};
use super::contact::{Contact, Link, Watched};
use super::decode::Scaling;
use super::kind::{ObjectName, WatchedKind, workload_of};
use super::links::Links;
use super::scope::Scope;
use super::{Autoscaler, Observation, Page, Workload};

/// How many Deployments one page looks at: until then the watches cannot write, and its thread does nothing else.
const SCAN: usize = 500;

/// Objects by name.
pub(super) type Table<T> = BTreeMap<ObjectName, Arc<T>>;

/// The workloads of each kind.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    deployments: Table<Workload>,
}

impl Workloads {
    fn of(&self, kind: WorkloadKind) -> &Table<Workload> {
        match kind {
            WorkloadKind::Deployment => &self.deployments,
        }
    }

    pub(super) fn of_mut(&mut self, kind: WorkloadKind) -> &mut Table<Workload> {
        match kind {
            WorkloadKind::Deployment => &mut self.deployments,
        }
    }
}

/// What is known, behind one lock, so that an observation is of one instant. Nothing waits while it holds the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) workloads: Workloads,
    pub(super) targets: Table<ReplicaTarget>,
    pub(super) autoscalers: Table<Scaling>,
    /// The labels of each namespace.
    pub(super) namespaces: Table<BTreeMap<String, String>>,
    autoscalers_of: BTreeMap<WorkloadRef, Vec<Arc<Autoscaler>>>,
    links: Links,
}

impl State {
    fn observe(&self, name: &WorkloadRef) -> Observation {
        let mut now = None;
        let now = || *now.get_or_insert_with(Instant::now);
        Observation {
            workload: self.workloads.of(name.kind).get(&ObjectName::of(name)).cloned(),
            target: self.targets.get(&ObjectName::of_target(name)).filter(|target| is_of(target, name)).cloned(),
            autoscalers: self.autoscalers_of.get(name).cloned().unwrap_or_default(),
            namespace_labels: self.namespaces.get(&ObjectName::new("", name.namespace.as_str())).cloned(),
            age: self.links.age(&name.namespace, now),
            name: name.clone(),
        }
    }

    /// Brings the index up to date for the `touched` workloads, or for all.
    pub(super) fn index_autoscalers(&mut self, touched: Option<&[WorkloadRef]>) {
        let all: BTreeSet<WorkloadRef>;
        let touched: &mut dyn Iterator<Item = &WorkloadRef> = if let Some(touched) = touched {
            &mut touched.iter()
        } else {
            self.autoscalers_of.clear();
            all = self.autoscalers.values().map(|scaling| scaling.workload.clone()).collect();
            &mut all.iter()
        };
        for name in touched {
            let of: Vec<_> = in_namespace(&self.autoscalers, &name.namespace)
                .filter(|(_, scaling)| scaling.workload == *name)
                .map(|(_, scaling)| scaling.autoscaler.clone())
                .collect();
            if of.is_empty() {
                self.autoscalers_of.remove(name);
            } else {
                self.autoscalers_of.insert(name.clone(), of);
            }
        }
    }
}

/// Whether a target is of the workload whose target's name it has.
fn is_of(target: &ReplicaTarget, workload: &WorkloadRef) -> bool {
    let of = &target.spec.scale_target_ref;
    of.kind == workload.kind.as_str() && of.name == workload.name
}

fn in_namespace<'a, T>(table: &'a Table<T>, namespace: &'a str) -> impl Iterator<Item = (&'a ObjectName, &'a Arc<T>)> {
    table.range(ObjectName::new(namespace, "")..).take_while(move |(name, _)| name.namespace == namespace)
}

/// The store, with those who wait for it.
#[derive(Debug)]
pub(super) struct Cache {
    state: RwLock<State>,
    changes: broadcast::Sender<CacheChange>,
    synced: watch::Sender<bool>,
}

impl Cache {
    /// An empty cache of what lies in `scopes`.
    pub(super) fn new(scopes: &[Scope]) -> Self {
        let state = State {
            workloads: Workloads::default(),
            targets: Table::new(),
            autoscalers: Table::new(),
            namespaces: Table::new(),
            autoscalers_of: BTreeMap::new(),
            links: Links::new(scopes, Instant::now()),
        };
        Self { state: RwLock::new(state), changes: broadcast::Sender::new(BACKLOG), synced: watch::Sender::new(false) }
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

    pub(super) fn subscribe(self: &Arc<Self>) -> Changes {
        Changes { receiver: self.changes.subscribe(), _cache: self.clone() }
    }
}

/// What the watches tell.
impl Cache {
    /// Keeps `item` under `name`, or forgets what was there.
    pub(super) fn put<K: WatchedKind>(&self, name: &ObjectName, item: Option<K::Item>) {
        let mut touched: Vec<WorkloadRef> = item.iter().filter_map(|item| K::concerns(name, item)).collect();
        {
            let mut state = self.write();
            let before = match item {
                Some(item) => K::table(&mut state).insert(name.clone(), Arc::new(item)),
                None => K::table(&mut state).remove(name),
            };
            let before = before.and_then(|before| K::concerns(name, &before));
            touched.extend(before.filter(|before| !touched.contains(before)));
            K::reindex(&mut state, Some(&touched));
        }
        for name in touched {
            self.tell(CacheChange::One(name));
        }
    }

    /// Puts `items` in the place of all objects of the kind in `scope`; those in `keep` stay as they were if they are
    /// not among `items`.
    pub(super) fn replace<K: WatchedKind>(
        &self,
        scope: &Scope,
        items: BTreeMap<ObjectName, K::Item>,
        keep: &BTreeSet<ObjectName>,
    ) {
        let mut listed: Table<K::Item> = items.into_iter().map(|(name, item)| (name, Arc::new(item))).collect();
        let before = {
            let mut state = self.write();
            let table = K::table(&mut state);
            let before = take(table, scope);
            for (name, item) in before.iter().filter(|(name, _)| keep.contains(name)) {
                listed.entry(name.clone()).or_insert_with(|| item.clone());
            }
            let touched = before.iter().chain(&listed).filter_map(|(name, item)| K::concerns(name, item));
            let touched: Option<Vec<_>> = scope.name().map(|_| touched.collect());
            table.append(&mut listed);
            K::reindex(&mut state, touched.as_deref());
            if let Some(link) = state.links.get_mut(scope, K::WATCHED) {
                link.listed(Instant::now());
            }
            before
        };
        // Freeing a large table takes a while: not under the lock.
        drop(before);
        self.check_synced();
        self.tell(CacheChange::All);
    }

    /// Notes how a watch's stream fares.
    pub(super) fn link(&self, scope: &Scope, watched: Watched, note: impl FnOnce(&mut Link)) {
        if let Some(link) = self.write().links.get_mut(scope, watched) {
            note(link);
        }
        self.check_synced();
    }

    fn check_synced(&self) {
        if !*self.synced.borrow() && self.read().links.synced() {
            self.synced.send_replace(true);
        }
    }

    fn tell(&self, change: CacheChange) {
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
