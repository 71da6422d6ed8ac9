//! Whose evaluation runs next: a client alone gets every slot, and several take turns.

use std::collections::{HashMap, VecDeque};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use thiserror::Error;
use tokio::sync::oneshot;

/// How many questions of one client may wait.
const WAITING_OF_ONE: usize = 1024;
/// How many questions may wait in all.
const WAITING: usize = 8 * WAITING_OF_ONE;

/// Too many questions wait already.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("too many decisions are under way")]
pub(super) struct Busy;

/// Evaluation slots: one per processor, at least two. When none is free, waiting clients are served round-robin, so a
/// client that floods the queue delays only itself. A question waits as long as its request does.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: usize,
    /// The waiters of each client; no queue is empty.
    clients: HashMap<String, VecDeque<oneshot::Sender<Turn>>>,
    /// The clients that wait, each once, the next one first.
    order: VecDeque<String>,
}

/// A turn. Its slot is the next one's when this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Turns);

impl Turns {
    pub(super) fn new() -> Self {
        Self::with_slots(thread::available_parallelism().map_or(2, NonZero::get).max(2))
    }

    fn with_slots(free: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue { free, waiting: 0, clients: HashMap::new(), order: VecDeque::new() })))
    }

    /// Waits for a turn of `client`. A cancelled wait leaves the queue.
    pub(super) async fn take(&self, client: &str) -> Result<Turn, Busy> {
        let turn = {
            let mut queue = self.queue();
            if queue.free > 0 {
                queue.free -= 1;
                return Ok(Turn(self.clone()));
            }
            queue.wait(client)?
        };
        // The queue gives each sender a turn before it drops it.
        turn.await.map_err(|_| Busy)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock was held leaves the queue whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn wait(&mut self, client: &str) -> Result<oneshot::Receiver<Turn>, Busy> {
        if self.waiting >= WAITING || self.clients.get(client).is_some_and(|own| own.len() >= WAITING_OF_ONE) {
            self.forget_gone();
        }
        let own = self.clients.get(client).map_or(0, VecDeque::len);
        if self.waiting >= WAITING || own >= WAITING_OF_ONE {
            return Err(Busy);
        }
        if own == 0 {
            self.order.push_back(client.to_owned());
        }
        let (sender, receiver) = oneshot::channel();
        self.clients.entry(client.to_owned()).or_default().push_back(sender);
        self.waiting += 1;
        Ok(receiver)
    }

    /// The next one that still waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(client) = self.order.pop_front() {
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
                self.order.push_back(client);
            }
            if next.is_some() {
                return next;
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
            let mut queue = self.0.queue();
            let next = queue.next();
            if next.is_none() {
                queue.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // A wait cancelled at this very moment gives the turn back: dropping it comes here again.
            let _ = next.send(Self(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use futures::FutureExt;

    use super::*;

    /// A question that waits.
    async fn waiting(turns: &Turns, client: &'static str) -> tokio::task::JoinHandle<Result<Turn, Busy>> {
        let before = turns.queue().waiting;
        let turns_of_task = turns.clone();
        let task = tokio::spawn(async move { turns_of_task.take(client).await });
        while turns.queue().waiting == before && !task.is_finished() {
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn a_client_alone_gets_every_slot() {
        let turns = Turns::with_slots(4);
        let held: Vec<_> = (0..4).map(|_| turns.take("alone").now_or_never().unwrap().unwrap()).collect();
        assert!(turns.take("alone").now_or_never().is_none(), "a fifth slot");
        drop(held);
        assert_eq!(turns.queue().free, 4);
    }

    #[tokio::test]
    async fn clients_that_wait_get_a_turn_each_however_many_questions_one_of_them_has() {
        let turns = Turns::with_slots(1);
        let held = turns.take("greedy").await.unwrap();
        let mut greedy = Vec::new();
        for _ in 0..3 {
            greedy.push(waiting(&turns, "greedy").await);
        }
        let modest = waiting(&turns, "modest").await;
        drop(held);
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
        let turns = Turns::with_slots(1);
        let held = turns.take("a").await.unwrap();
        let gone = waiting(&turns, "a").await;
        let next = waiting(&turns, "b").await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        drop(held);
        drop(next.await.unwrap().unwrap());
        assert_eq!(turns.queue().free, 1);
    }

    #[tokio::test]
    async fn one_client_fills_its_part_of_the_queue_alone() {
        let turns = Turns::with_slots(1);
        let _held = turns.take("greedy").await.unwrap();
        let mut waiters: Vec<_> = (0..WAITING_OF_ONE).map(|_| turns.queue().wait("greedy").unwrap()).collect();
        assert!(matches!(turns.take("greedy").now_or_never(), Some(Err(Busy))));
        assert!(turns.take("other").now_or_never().is_none(), "another client is turned away");
        waiters.truncate(WAITING_OF_ONE / 2);
        assert!(turns.take("greedy").now_or_never().is_none(), "those who left still count");
    }

    #[tokio::test]
    async fn the_queue_is_bounded_whoever_waits() {
        let turns = Turns::with_slots(1);
        let _held = turns.take("first").await.unwrap();
        let mut waiters = Vec::new();
        for number in 0..WAITING {
            waiters.push(turns.queue().wait(&format!("client-{}", number % 100)).unwrap());
        }
        assert!(matches!(turns.take("late").now_or_never(), Some(Err(Busy))));
    }
}
