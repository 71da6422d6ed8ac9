//! Which names to work on next: each waits at most once and is worked on by one worker at a time.

use std::collections::{BTreeSet, HashMap};

use crate::workload::WorkloadRef;
use tokio::time::Instant;

/// Where a name stands.
#[derive(Debug)]
enum Stage {
    /// It is to be worked on at `due`.
    Waiting {
        due: Instant,
        /// No request brings it forward: it failed before.
        held: bool,
    },
    /// It is being worked on; `again` when it was requested meanwhile.
    Running { again: Option<Instant> },
}

/// A queue of names, by due time.
#[derive(Debug, Default)]
pub(super) struct Queue {
    stages: HashMap<WorkloadRef, Stage>,
    /// Those that were due when it was last looked.
    due: BTreeSet<(Instant, WorkloadRef)>,
    /// The others that wait.
    later: BTreeSet<(Instant, WorkloadRef)>,
}

impl Queue {
    /// Requests work on `name` at `due`. Of several requests the earliest counts.
    pub(super) fn push(&mut self, name: WorkloadRef, due: Instant) {
        match self.stages.get_mut(&name) {
            None => self.wait(name, due, false),
            Some(Stage::Running { again }) => *again = Some(again.map_or(due, |earlier| earlier.min(due))),
            Some(Stage::Waiting { due: old, held: false }) if due < *old => {
                let entry = (*old, name);
                if !self.later.remove(&entry) {
                    self.due.remove(&entry);
                }
                self.wait(entry.1, due, false);
            }
            Some(Stage::Waiting { .. }) => {}
        }
    }

    /// Ends the rest of a name that failed, since there is something else to do for it now.
    pub(super) fn end_rest(&mut self, name: &WorkloadRef) {
        if let Some(Stage::Waiting { held, .. }) = self.stages.get_mut(name) {
            *held = false;
        }
    }

    /// The next name that is due, which runs from now until it is [`done`](Self::done).
    pub(super) fn pop(&mut self, now: Instant) -> Option<WorkloadRef> {
        self.promote(now);
        let (_, name) = self.due.pop_first()?;
        self.stages.insert(name.clone(), Stage::Running { again: None });
        Some(name)
    }

    /// `name` was worked on, and is worked on again at `next`, or sooner if that was requested.
    pub(super) fn done(&mut self, name: WorkloadRef, next: Option<Instant>) {
        let requested = self.requested_while_running(&name);
        if let Some(due) = [requested, next].into_iter().flatten().min() {
            self.wait(name, due, false);
        }
    }

    /// `name` failed and must rest until `retry`, whoever requests it.
    pub(super) fn failed(&mut self, name: WorkloadRef, retry: Instant) {
        self.requested_while_running(&name);
        self.wait(name, retry, true);
    }

    /// When the next name is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        [&self.due, &self.later].into_iter().filter_map(|names| Some(names.first()?.0)).min()
    }

    /// How many names are due and have no worker.
    pub(super) fn depth(&mut self, now: Instant) -> usize {
        self.promote(now);
        self.due.len()
    }

    /// Moves what has become due: each name once, so that no look at the queue walks all of it.
    fn promote(&mut self, now: Instant) {
        while self.later.first().is_some_and(|(due, _)| *due <= now) {
            self.due.extend(self.later.pop_first());
        }
    }

    fn requested_while_running(&mut self, name: &WorkloadRef) -> Option<Instant> {
        match self.stages.remove(name) {
            Some(Stage::Running { again }) => again,
            _ => None,
        }
    }

    fn wait(&mut self, name: WorkloadRef, due: Instant, held: bool) {
        self.later.insert((due, name.clone()));
        self.stages.insert(name, Stage::Waiting { due, held });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::time::Duration;

    use super::*;
    use crate::cpu;

    fn name(name: &str) -> WorkloadRef {
        WorkloadRef::deployment("demo", name)
    }

    fn later(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_waits_once_at_its_earliest_time() {
        let (start, mut queue) = (Instant::now(), Queue::default());
        queue.push(name("web"), later(start, 9));
        queue.push(name("web"), later(start, 2));
        queue.push(name("web"), later(start, 5));
        assert_eq!(queue.next_due(), Some(later(start, 2)));
        assert_eq!(queue.pop(later(start, 1)), None);
        assert_eq!(queue.pop(later(start, 2)), Some(name("web")));
        assert_eq!(queue.pop(later(start, 99)), None);
    }

    #[test]
    fn a_name_that_is_due_is_brought_forward_and_still_waits_once() {
        let (start, mut queue) = (Instant::now(), Queue::default());
        queue.push(name("web"), later(start, 2));
        queue.push(name("api"), later(start, 1));
        assert_eq!(queue.depth(later(start, 2)), 2);
        queue.push(name("web"), start);
        assert_eq!((queue.depth(later(start, 2)), queue.next_due()), (2, Some(start)));
        assert_eq!(queue.pop(later(start, 2)), Some(name("web")));
        assert_eq!(queue.pop(later(start, 2)), Some(name("api")));
        assert_eq!(queue.pop(later(start, 2)), None);
    }

    #[test]
    fn a_look_at_the_queue_costs_no_more_the_more_names_are_due() {
        let looks = |names: u32| {
            let (start, mut queue) = (Instant::now(), Queue::default());
            (0..names).for_each(|number| queue.push(name(&number.to_string()), start));
            queue.depth(start);
            cpu::time(|| {
                for _ in 0..200 {
                    let name = queue.pop(start).unwrap();
                    queue.done(name, Some(later(start, 60)));
                    assert_eq!((queue.depth(start) > 0, queue.next_due()), (true, Some(start)));
                }
            })
        };
        cpu::assert_hardly_grows(|| looks(1_000), || looks(100_000));
    }

    #[test]
    fn names_come_in_the_order_of_their_times() {
        let (start, mut queue) = (Instant::now(), Queue::default());
        queue.push(name("late"), later(start, 3));
        queue.push(name("early"), later(start, 1));
        assert_eq!(queue.depth(later(start, 1)), 1);
        assert_eq!(queue.depth(later(start, 3)), 2);
        assert_eq!(queue.pop(later(start, 9)), Some(name("early")));
        assert_eq!(queue.pop(later(start, 9)), Some(name("late")));
    }

    #[test]
    fn a_name_that_runs_is_not_handed_out_but_runs_again_afterwards() {
        let (start, mut queue) = (Instant::now(), Queue::default());
        queue.push(name("web"), start);
        assert_eq!(queue.pop(start), Some(name("web")));
        queue.push(name("web"), start);
        assert_eq!(queue.pop(start), None);
        queue.done(name("web"), None);
        assert_eq!(queue.pop(start), Some(name("web")));
        queue.done(name("web"), None);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn a_wished_time_is_brought_forward_by_a_request() {
        let (start, mut queue) = (Instant::now(), Queue::default());
        queue.push(name("web"), start);
        assert_eq!(queue.pop(start), Some(name("web")));
        queue.done(name("web"), Some(later(start, 60)));
        queue.push(name("web"), later(start, 1));
        assert_eq!(queue.next_due(), Some(later(start, 1)));
    }

    #[test]
    fn a_name_that_failed_rests_whoever_requests_it() {
        let (start, mut queue) = (Instant::now(), Queue::default());
        queue.push(name("web"), start);
        assert_eq!(queue.pop(start), Some(name("web")));
        queue.push(name("web"), start);
        queue.failed(name("web"), later(start, 30));
        queue.push(name("web"), start);
        assert_eq!(queue.pop(later(start, 29)), None);
        assert_eq!(queue.pop(later(start, 30)), Some(name("web")));
    }
}
