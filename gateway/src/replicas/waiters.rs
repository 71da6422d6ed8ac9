//! Tasks that wait for a workload to change, by name; a change wakes only that workload's waiters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::CacheChange;
use crate::workload::WorkloadRef;

/// All waiters.
#[derive(Debug, Default)]
pub(super) struct Waiters(Mutex<HashMap<WorkloadRef, Group>>);

/// The waiters for one workload.
#[derive(Debug, Default)]
struct Group {
    wake: Arc<Notify>,
    waiters: usize,
}

/// One waiter, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    all: &'a Waiters,
    name: &'a WorkloadRef,
    wake: Arc<Notify>,
}

impl Waiters {
    /// Begins to wait for changes of `name`.
    pub(super) fn add<'a>(&'a self, name: &'a WorkloadRef) -> Waiter<'a> {
        let mut groups = self.lock();
        let group = groups.entry(name.clone()).or_default();
        group.waiters += 1;
        Waiter { all: self, name, wake: group.wake.clone() }
    }

    /// Wakes the waiters that `change` affects.
    pub(super) fn wake(&self, change: &CacheChange) {
        let groups = self.lock();
        match change {
            CacheChange::One(name) => groups.get(name).into_iter().for_each(|group| group.wake.notify_waiters()),
            CacheChange::All => groups.values().for_each(|group| group.wake.notify_waiters()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkloadRef, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Wakes it. A `notified()` future, once enabled, misses no change.
    pub(super) fn wake(&self) -> &Notify {
        &self.wake
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut groups = self.all.lock();
        let Some(group) = groups.get_mut(self.name) else { return };
        group.waiters -= 1;
        if group.waiters == 0 {
            groups.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn name(name: &str) -> WorkloadRef {
        WorkloadRef::deployment("demo", name)
    }

    #[test]
    fn a_change_wakes_those_who_wait_for_its_workload_and_nobody_else() {
        let (waiters, web, api) = (Waiters::default(), name("web"), name("api"));
        let (for_web, for_api) = (waiters.add(&web), waiters.add(&api));
        let (woken, not_woken) = (for_web.wake().notified(), for_api.wake().notified());
        waiters.wake(&CacheChange::One(web.clone()));
        assert!(woken.now_or_never().is_some());
        assert!(not_woken.now_or_never().is_none());
        let woken = for_api.wake().notified();
        waiters.wake(&CacheChange::All);
        assert!(woken.now_or_never().is_some());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let (waiters, web) = (Waiters::default(), name("web"));
        let (one, other) = (waiters.add(&web), waiters.add(&web));
        drop(one);
        assert_eq!(waiters.lock().len(), 1);
        drop(other);
        assert_eq!(waiters.lock().len(), 0);
    }
}
