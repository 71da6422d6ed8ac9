//! Who may have evaluations running: everyone, but nobody all of them.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How long a question waits for its turn. It is no part of any module's deadline.
const PATIENCE: Duration = Duration::from_secs(1);

/// Clients that have gone are forgotten when there are as many as this.
const FORGET_AT: usize = 1024;

/// The turn did not come in time.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("too many decisions are under way")]
pub(super) struct Busy;

/// The places for evaluations, one a processor, of which one client gets at most half: a client that asks without end
/// waits for itself.
#[derive(Debug)]
pub(super) struct Turns {
    places: Arc<Semaphore>,
    share: usize,
    clients: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn. It ends when this is dropped.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new() -> Self {
        let places = thread::available_parallelism().map_or(2, NonZero::get).max(2);
        Self { places: Arc::new(Semaphore::new(places)), share: places / 2, clients: Mutex::default() }
    }

    /// Waits for a turn of `client`.
    pub(super) async fn take(&self, client: &str) -> Result<Turn, Busy> {
        let deadline = Instant::now() + PATIENCE;
        let within = |semaphore: Arc<Semaphore>| async move {
            timeout_at(deadline, semaphore.acquire_owned()).await.ok().and_then(Result::ok).ok_or(Busy)
        };
        // Its own turn first: who waits for that holds no place.
        let own = within(self.of(client)).await?;
        Ok(Turn { _own: own, _place: within(self.places.clone()).await? })
    }

    fn of(&self, client: &str) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = clients.get(client).and_then(Weak::upgrade) {
            return semaphore;
        }
        if clients.len() >= FORGET_AT {
            clients.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.share));
        clients.insert(client.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_holds_all_its_turns_waits_for_itself_and_no_other_does() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..turns.share {
            held.push(turns.take("greedy").await);
        }
        assert_eq!(turns.take("greedy").await.err(), Some(Busy));
        assert!(turns.take("other").await.is_ok());
        held.pop();
        assert!(turns.take("greedy").await.is_ok());
    }

    #[tokio::test]
    async fn clients_that_have_gone_are_forgotten() {
        let turns = Turns::new();
        for client in 0..3 * FORGET_AT {
            drop(turns.take(&client.to_string()).await);
        }
        assert!(turns.clients.lock().unwrap_or_else(PoisonError::into_inner).len() <= FORGET_AT);
    }
}
