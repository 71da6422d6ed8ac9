//! What the cache knows at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::resource::ReplicaTarget;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::decode::Scaling;
use super::kind::ObjectName;
use super::links::Links;
use super::scope::Scope;
use super::{Autoscaler, MOST_AUTOSCALERS, Observation, Workload};

/// Objects by name.
pub(super) type Table<T> = BTreeMap<ObjectName, Arc<T>>;

/// The workloads of each kind.
#[derive(Debug, Default)]
pub(super) struct Workloads {
    deployments: Table<Workload>,
}

impl Workloads {
    pub(super) fn of(&self, kind: WorkloadKind) -> &Table<Workload> {
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
    /// The autoscalers of each workload, by their names.
    autoscalers_of: BTreeMap<WorkloadRef, BTreeMap<String, Arc<Autoscaler>>>,
    pub(super) links: Links,
}

impl State {
    /// Nothing, of what lies in `scopes`.
    pub(super) fn empty(scopes: &[Scope]) -> Self {
        Self {
            workloads: Workloads::default(),
            targets: Table::new(),
            autoscalers: Table::new(),
            namespaces: Table::new(),
            autoscalers_of: BTreeMap::new(),
            links: Links::new(scopes, Instant::now()),
        }
    }

    pub(super) fn observe(&self, name: &WorkloadRef) -> Observation {
        let autoscalers = self.autoscalers_of.get(name).into_iter().flat_map(BTreeMap::values);
        let mut now = None;
        let now = || *now.get_or_insert_with(Instant::now);
        Observation {
            workload: self.workloads.of(name.kind).get(&ObjectName::of(name)).cloned(),
            target: self.targets.get(&ObjectName::of_target(name)).filter(|target| is_of(target, name)).cloned(),
            autoscalers: autoscalers.take(MOST_AUTOSCALERS).cloned().collect(),
            namespace_labels: self.namespaces.get(&ObjectName::new("", name.namespace.as_str())).cloned(),
            age: self.links.age(&name.namespace, now),
            name: name.clone(),
        }
    }

    pub(super) fn index_autoscaler(&mut self, scaling: &Scaling) {
        let of = self.autoscalers_of.entry(scaling.workload.clone()).or_default();
        of.insert(scaling.autoscaler.name.clone(), scaling.autoscaler.clone());
    }

    pub(super) fn unindex_autoscaler(&mut self, scaling: &Scaling) {
        let Some(of) = self.autoscalers_of.get_mut(&scaling.workload) else { return };
        of.remove(&scaling.autoscaler.name);
        if of.is_empty() {
            self.autoscalers_of.remove(&scaling.workload);
        }
    }
}

/// Whether a target is of the workload whose target's name it has.
fn is_of(target: &ReplicaTarget, workload: &WorkloadRef) -> bool {
    let of = &target.spec.scale_target_ref;
    of.kind == workload.kind.as_str() && of.name == workload.name
}

/// Adds `listed` to `table`. `BTreeMap::append` walks all of the table, however few there are to add.
pub(super) fn put_back<N: Ord, T>(table: &mut BTreeMap<N, T>, listed: BTreeMap<N, T>) {
    if table.is_empty() {
        *table = listed;
    } else {
        table.extend(listed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;
    use std::ops::Range;

    use super::*;

    /// A name that counts how often this thread has compared such names.
    #[derive(Debug, PartialEq, Eq)]
    struct CountedName(u32);

    thread_local! {
        static COMPARISONS: Cell<u32> = const { Cell::new(0) };
    }

    impl Ord for CountedName {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for CountedName {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    #[test]
    fn a_relist_of_a_namespace_does_not_walk_through_the_others() {
        let names =
            |numbers: Range<u32>| numbers.map(|number| (CountedName(number), number)).collect::<BTreeMap<_, _>>();
        let (mut table, listed) = (names(0..100_000), names(100_000..100_010));
        COMPARISONS.set(0);
        put_back(&mut table, listed);
        assert_eq!(table.len(), 100_010);
        assert!(COMPARISONS.get() < 1_000, "{} comparisons", COMPARISONS.get());
    }
}
