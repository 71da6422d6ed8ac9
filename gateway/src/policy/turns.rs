//! Which client's evaluation runs next: one client gets at most half of the slots, and clients that wait take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::clients::threads;

/// How many evaluations of one client may wait. A waiter takes about 100 bytes here, beside its question, which the
/// request keeps. Each request waits for one evaluation at a time, so the bounds of [`crate::clients`] are reached
/// first (250 requests of one client by default); this bounds the queue if they are raised. A cancelled waiter counts
/// until its turn comes, or until a bound is reached, when all cancelled ones are removed.
const WAITING_OF_ONE: usize = 1024;
/// How many evaluations may wait in all: eight clients may fill their part, and the queue stays within a few MiB.
const WAITING: usize = 8 * WAITING_OF_ONE;

/// Too many evaluations wait already.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("too many decisions are under way")]
pub(super) struct Busy;

/// The slots for evaluations that may take long. Each client may fill half of them, as many as there are serving
/// threads. Clients that wait take turns, so one that floods the queue delays only itself. An evaluation waits for as
/// long as its request does.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    free: usize,
    /// How many slots one client may fill.
    of_client: usize,
    waiting: usize,
    /// How many slots each client fills; no count is 0.
    running: HashMap<Arc<str>, usize>,
    /// The waiters of each client; no queue is empty.
    clients: HashMap<Arc<str>, VecDeque<oneshot::Sender<Turn>>>,
    /// The clients that wait, each once, in the order of their turns.
    order: VecDeque<Arc<str>>,
}

/// A turn, which fills a slot. Dropping it passes the slot on.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    client: Arc<str>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self::with_slots(threads())
    }

    /// `2 * of_client` slots, of which one client may fill `of_client`.
    fn with_slots(of_client: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue {
            free: 2 * of_client,
            of_client,
            waiting: 0,
            running: HashMap::new(),
            clients: HashMap::new(),
            order: VecDeque::new(),
        })))
    }

    /// Waits for a turn of `client`. Dropping the future cancels the wait.
    pub(super) async fn take(&self, client: &Arc<str>) -> Result<Turn, Busy> {
        let turn = {
            let mut queue = self.queue();
            if queue.may_run(client) {
                queue.run(client);
                return Ok(Turn { turns: self.clone(), client: client.clone() });
            }
            queue.wait(client)?
        };
        // The queue drops a sender without a turn only if its wait was cancelled.
        turn.await.map_err(|_| Busy)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock was held left the queue consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn may_run(&self, client: &Arc<str>) -> bool {
        self.free > 0 && self.running.get(client).is_none_or(|running| *running < self.of_client)
    }

    fn run(&mut self, client: &Arc<str>) {
        self.free -= 1;
        *self.running.entry(client.clone()).or_default() += 1;
    }

    fn ended(&mut self, client: &Arc<str>) {
        self.free += 1;
        if let Some(running) = self.running.get_mut(client) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(client);
            }
        }
    }

    fn wait(&mut self, client: &Arc<str>) -> Result<oneshot::Receiver<Turn>, Busy> {
        if self.waiting >= WAITING || self.clients.get(client).is_some_and(|own| own.len() >= WAITING_OF_ONE) {
            self.forget_gone();
        }
        let own = self.clients.get(client).map_or(0, VecDeque::len);
        if self.waiting >= WAITING || own >= WAITING_OF_ONE {
            return Err(Busy);
        }
        if own == 0 {
            self.order.push_back(client.clone());
        }
        let (sender, receiver) = oneshot::channel();
        self.clients.entry(client.clone()).or_default().push_back(sender);
        self.waiting += 1;
        Ok(receiver)
    }

    /// Removes the next waiter that may run from the queue, and fills a slot for it. Skips cancelled ones.
    fn next(&mut self) -> Option<(Arc<str>, oneshot::Sender<Turn>)> {
        // At most one client fills its half while a slot is free, so few are passed over.
        for _ in 0..self.order.len() {
            let client = self.order.pop_front()?;
            if !self.may_run(&client) {
                self.order.push_back(client);
                continue;
            }
            let Some(own) = self.clients.get_mut(&client) else { continue };
            let mut next = None;
            while next.is_none()
                && let Some(sender) = own.pop_front()
            {
                self.waiting -= 1;
                next = Some(sender).filter(|sender| !sender.is_closed());
            }
            if own.is_empty() {
                self.clients.remove(&client);
            } else {
                self.order.push_back(client.clone());
            }
            if let Some(sender) = next {
                self.run(&client);
                return Some((client, sender));
            }
        }
        None
    }

    /// Removes cancelled waiters.
    fn forget_gone(&mut self) {
        self.clients.retain(|_, own| {
            own.retain(|sender| !sender.is_closed());
            !own.is_empty()
        });
        self.waiting = self.clients.values().map(VecDeque::len).sum();
        self.order.retain(|client| self.clients.contains_key(client));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.turns.queue();
            queue.ended(&self.client);
            queue.next()
        };
        if let Some((client, sender)) = next {
            // If the wait was cancelled just now, the turn comes back and is dropped, which passes the slot on again.
            let _ = sender.send(Self { turns: self.turns.clone(), client });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use futures::FutureExt;

    use super::*;

    fn name(client: &str) -> Arc<str> {
        client.into()
    }

    /// Starts to wait for a turn of `client`; returns once the wait is in the queue.
    async fn waiting(turns: &Turns, client: &'static str) -> tokio::task::JoinHandle<Result<Turn, Busy>> {
        let before = turns.queue().waiting;
        let turns_of_task = turns.clone();
        let task = tokio::spawn(async move { turns_of_task.take(&name(client)).await });
        while turns.queue().waiting == before && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task
    }

    /// `2 * slots` slots, each filled by a different client.
    fn full(slots: usize) -> (Turns, Vec<Turn>) {
        let turns = Turns::with_slots(slots);
        let clients = (0..2 * slots).map(|number| name(&format!("slot-{number}")));
        let held = clients.map(|client| turns.take(&client).now_or_never().unwrap().unwrap()).collect();
        (turns, held)
    }

    #[tokio::test]
    async fn a_client_alone_fills_half_of_the_slots_and_leaves_the_others_to_others() {
        let turns = Turns::with_slots(4);
        let take = |client| turns.take(&name(client)).now_or_never();
        let mut held: Vec<_> = (0..4).map(|_| take("alone").unwrap().unwrap()).collect();
        let fifth = waiting(&turns, "alone").await;
        let other = take("other").unwrap().unwrap();
        drop(other);
        assert!(!fifth.is_finished(), "a fifth slot");
        drop(held.pop());
        drop((fifth.await.unwrap().unwrap(), held));
        let queue = turns.queue();
        assert_eq!((queue.free, queue.running.len()), (8, 0));
    }

    #[tokio::test]
    async fn clients_that_wait_get_a_turn_each_however_many_questions_one_of_them_has() {
        let (turns, mut slots) = full(1);
        let _other = slots.pop();
        let mut greedy = Vec::new();
        for _ in 0..3 {
            greedy.push(waiting(&turns, "greedy").await);
        }
        let modest = waiting(&turns, "modest").await;
        drop(slots);
        let first = greedy.remove(0).await.unwrap().unwrap();
        assert!(!modest.is_finished());
        drop(first);
        let second = modest.await.unwrap().unwrap();
        assert!(!greedy[0].is_finished(), "the greedy one comes before the modest one");
        drop(second);
        for question in greedy {
            drop(question.await.unwrap().unwrap());
        }
        let queue = turns.queue();
        assert_eq!((queue.free, queue.waiting, queue.clients.len(), queue.order.len()), (1, 0, 0, 0));
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_the_turn_to_the_next() {
        let (turns, slots) = full(1);
        let gone = waiting(&turns, "a").await;
        let next = waiting(&turns, "b").await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(slots);
        drop(next.await.unwrap().unwrap());
        assert_eq!(turns.queue().free, 2);
    }

    #[tokio::test]
    async fn one_client_fills_its_part_of_the_queue_alone() {
        let (turns, _slots) = full(1);
        let greedy = name("greedy");
        let mut waiters: Vec<_> = (0..WAITING_OF_ONE).map(|_| turns.queue().wait(&greedy).unwrap()).collect();
        assert!(matches!(turns.take(&greedy).now_or_never(), Some(Err(Busy))));
        assert!(turns.take(&name("other")).now_or_never().is_none(), "another client is turned away");
        waiters.truncate(WAITING_OF_ONE / 2);
        assert!(turns.take(&greedy).now_or_never().is_none(), "those who left still count");
    }

    #[tokio::test]
    async fn the_queue_is_bounded_whoever_waits() {
        let (turns, _slots) = full(1);
        let mut waiters = Vec::new();
        for number in 0..WAITING {
            waiters.push(turns.queue().wait(&name(&format!("client-{}", number % 100))).unwrap());
        }
        assert!(matches!(turns.take(&name("late")).now_or_never(), Some(Err(Busy))));
    }
}
