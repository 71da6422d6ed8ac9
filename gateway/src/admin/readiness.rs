//! Whether the process can do its work.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The conditions that must all hold for the process to be ready. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    conditions: Mutex<BTreeMap<&'static str, bool>>,
    draining: AtomicBool,
    started: AtomicBool,
}

/// One condition, which does not hold at first and no longer holds when the handle is dropped: the task that vouched
/// for it is gone.
#[derive(Debug)]
#[must_use = "the condition fails when the handle is dropped"]
pub struct ReadyHandle {
    name: &'static str,
    shared: Arc<Shared>,
}

impl Readiness {
    /// Adds a condition. Add all of them before the probes can see a subset that holds.
    pub fn condition(&self, name: &'static str) -> ReadyHandle {
        self.0.lock().insert(name, false);
        ReadyHandle { name, shared: self.0.clone() }
    }

    /// From now on the process is not ready, whatever else holds, so that no new client is sent to it.
    pub fn drain(&self) {
        self.0.draining.store(true, Relaxed);
    }

    /// Whether all conditions hold and no drain has begun.
    pub fn is_ready(&self) -> bool {
        let ready = self.0.lock().values().all(|holds| *holds);
        if ready {
            self.0.started.store(true, Relaxed);
        }
        ready && !self.0.draining.load(Relaxed)
    }

    /// Whether the process has been ready before.
    pub fn has_started(&self) -> bool {
        // A drain does not undo a start, nor must the readiness probe have looked in between.
        self.is_ready();
        self.0.started.load(Relaxed)
    }

    /// The conditions by name, and whether each holds.
    pub(super) fn conditions(&self) -> BTreeMap<&'static str, bool> {
        self.0.lock().clone()
    }

    /// Whether a drain has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    /// Each condition with its state, one a line.
    pub(super) fn report(&self) -> String {
        let mut report = String::new();
        for (name, holds) in self.0.lock().iter() {
            let _ = writeln!(report, "{name}: {}", if *holds { "ok" } else { "not ok" });
        }
        if self.0.draining.load(Relaxed) {
            report.push_str("draining\n");
        }
        report
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, bool>> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadyHandle {
    /// The condition holds, or no longer does.
    pub fn set(&self, holds: bool) {
        let mut conditions = self.shared.lock();
        conditions.insert(self.name, holds);
        if conditions.values().all(|holds| *holds) {
            self.shared.started.store(true, Relaxed);
        }
    }
}

impl Drop for ReadyHandle {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_every_condition_holds() {
        let readiness = Readiness::default();
        let (cache, policies) = (readiness.condition("cache"), readiness.condition("policies"));
        assert!(!readiness.is_ready());
        cache.set(true);
        assert_eq!(readiness.report(), "cache: ok\npolicies: not ok\n");
        assert!(!readiness.has_started());
        policies.set(true);
        assert!(readiness.is_ready());
        cache.set(false);
        assert!(!readiness.is_ready());
        assert!(readiness.has_started());
    }

    #[test]
    fn a_condition_fails_with_the_task_that_vouched_for_it() {
        let readiness = Readiness::default();
        let cache = readiness.condition("cache");
        cache.set(true);
        drop(cache);
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_drain_ends_readiness_and_keeps_the_start() {
        let readiness = Readiness::default();
        let cache = readiness.condition("cache");
        cache.set(true);
        readiness.drain();
        assert!(!readiness.is_ready());
        assert!(readiness.has_started());
        assert_eq!(readiness.report(), "cache: ok\ndraining\n");
    }
}
