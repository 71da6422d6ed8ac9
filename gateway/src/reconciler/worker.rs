//! The leader's loop: from changes in the cache to executed plans.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::replicas::{CacheChange, Replicas, Version};
use crate::workload::WorkloadRef;

use super::lease::Leadership;
use super::metrics::ReconcilerMetrics;
use super::queue::Queue;
use super::reconcile::{Memory, Next, Reconcile};

/// How often every target is looked at though nothing changed.
const RESYNC: Duration = Duration::from_mins(5);
/// How many targets are worked on at once.
const WORKERS: usize = 8;
/// How many requested names are queued at a time.
const PART: usize = 1000;
/// How long started work may take to end after the shutdown began, while the Lease is still held.
const DRAIN: Duration = Duration::from_secs(5);
/// The rest of a target whose writes fail.
const REST: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) };

/// Works on targets whenever this process leads.
pub(super) struct Worker {
    pub(super) reconcile: Reconcile,
    pub(super) replicas: Replicas,
    pub(super) metrics: ReconcilerMetrics,
    pub(super) leadership: watch::Receiver<Leadership>,
}

impl Worker {
    /// Works until `stop`, then ends what it has begun. Ends early only when the leadership's sender is gone.
    pub(super) async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut leadership = self.leadership.clone();
        loop {
            let term = tokio::select! {
                () = &mut stop => return,
                term = leadership.wait_for(Leadership::is_leader) => match term {
                    Ok(term) => term.clone(),
                    Err(_) => return,
                },
            };
            // Leaving the select drops all work in flight: another may lead from now on.
            self.metrics.leads(true);
            let stopped = tokio::select! {
                _ = leadership.wait_for(|now| *now != term) => false,
                () = self.lead(stop.as_mut()) => true,
            };
            self.metrics.leads(false);
            self.metrics.queued(0);
            self.metrics.contended(0);
            if stopped {
                return;
            }
        }
    }

    /// Works on what changes, beginning with everything, until `stop`.
    async fn lead(&self, mut stop: impl Future<Output = ()> + Unpin) {
        let mut changes = self.replicas.subscribe();
        let mut resync = interval(RESYNC);
        resync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut desk = Desk::default();
        loop {
            desk.start_due(&self.reconcile, &self.replicas);
            self.metrics.queued(desk.queue.depth(Instant::now()));
            self.metrics.contended(desk.contended.len());
            let due = desk.queue.next_due().filter(|_| desk.has_room());
            let requests = !desk.requested.is_empty();
            tokio::select! {
                () = &mut stop => break,
                _ = resync.tick() => desk.request_all(&self.replicas),
                change = changes.next() => match change {
                    CacheChange::All => desk.request_all(&self.replicas),
                    CacheChange::One(name) => desk.request(name, &self.replicas),
                },
                Some(done) = desk.running.next() => desk.finish(done),
                () = yield_now(), if requests => desk.queue_some(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
        let drained = timeout(DRAIN, desk.running.for_each(|_| std::future::ready(()))).await;
        if drained.is_err() {
            warn!("work was abandoned at shutdown; the next leader finds the rest");
        }
    }
}

/// A name that was worked on.
struct Done {
    name: WorkloadRef,
    memory: Memory,
    next: Next,
}

/// What waits, what runs, and what is remembered of each target during one term.
#[derive(Default)]
struct Desk {
    queue: Queue,
    /// Names that are yet to be queued.
    requested: Vec<WorkloadRef>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    memories: HashMap<WorkloadRef, Memory>,
    /// The targets whose condition `Contended` is true.
    contended: HashSet<WorkloadRef>,
}

impl Desk {
    fn has_room(&self) -> bool {
        self.running.len() < WORKERS
    }

    fn request_all(&mut self, replicas: &Replicas) {
        self.requested = replicas.targets();
    }

    /// Queues a part of what is requested, so that workers and the Lease go on meanwhile.
    fn queue_some(&mut self) {
        let (now, rest) = (Instant::now(), self.requested.len().saturating_sub(PART));
        self.requested.drain(rest..).for_each(|name| self.queue.push(name, now));
    }

    /// Queues a name that changed. A target that was set anew is worked on at once, even if the one before failed.
    fn request(&mut self, name: WorkloadRef, replicas: &Replicas) {
        let failed = self.memories.get(&name).filter(|memory| memory.failures > 0);
        if failed.is_some_and(|memory| memory.looked_at != version(replicas, &name)) {
            self.queue.end_rest(&name);
        }
        self.queue.push(name, Instant::now());
    }

    fn start_due(&mut self, reconcile: &Reconcile, replicas: &Replicas) {
        while self.has_room() {
            let Some(name) = self.queue.pop(Instant::now()) else { return };
            let mut memory = self.memories.remove(&name).unwrap_or_default();
            memory.looked_at = version(replicas, &name);
            let reconcile = reconcile.clone();
            self.running.push(Box::pin(async move {
                let next = reconcile.once(&name, &mut memory).await;
                Done { name, memory, next }
            }));
        }
    }

    fn finish(&mut self, Done { name, mut memory, next }: Done) {
        debug!(workload = %name, ?next, "reconciled");
        memory.failures = if next == Next::Rest { memory.failures.saturating_add(1) } else { 0 };
        let rest = REST.after(memory.failures);
        if memory.is_contended && next != Next::Forget {
            self.contended.insert(name.clone());
        } else {
            self.contended.remove(&name);
        }
        if next != Next::Forget {
            self.memories.insert(name.clone(), memory);
        }
        match next {
            Next::Forget | Next::Wait => self.queue.done(name, None),
            Next::Within(delay) => self.queue.done(name, Some(Instant::now() + delay)),
            Next::Rest => self.queue.failed(name, Instant::now() + rest),
        }
    }
}

/// The version of the target that the cache shows.
fn version(replicas: &Replicas, name: &WorkloadRef) -> Option<Version> {
    replicas.observe(name).target.as_deref().and_then(Version::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicas::fixtures::{Object, target};

    #[test]
    fn targets_that_are_all_requested_are_queued_in_parts() {
        let targets = (0..2500).map(|number| Object::Target(Box::new(target("demo", &number.to_string(), 1))));
        let (replicas, mut desk) = (Replicas::from_objects(targets), Desk::default());
        desk.request_all(&replicas);
        for queued in [0, PART, 2 * PART, 2500] {
            assert_eq!(desk.queue.depth(Instant::now()), queued);
            desk.queue_some();
        }
    }
}
