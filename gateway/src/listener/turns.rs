//! Turns of the processor for connections that take much of it, so that requests of others are answered in between.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;

use crate::clients::threads;

/// The turns of handshakes, which compute for as long as many requests take. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct HandshakeTurns(Arc<Semaphore>);

impl HandshakeTurns {
    /// As many turns at once as threads serve.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(threads())))
    }

    /// Runs `handshake`. Each of its steps waits for a turn, and then for all tasks that are ready: so a thread runs one step,
    /// and then others.
    pub(super) async fn pace<F: Future>(&self, handshake: F) -> F::Output {
        let mut handshake = pin!(handshake);
        loop {
            // It is never closed.
            let turn = self.0.acquire().await;
            after_others().await;
            let step = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
            drop(turn);
            if let Poll::Ready(output) = step {
                return output;
            }
            woken().await;
        }
    }
}

/// Puts the running task behind all that are ready. Tokio's `yield_now` may let many more pass.
pub(super) async fn after_others() {
    let mut has_yielded = false;
    poll_fn(|cx| yield_once(&mut has_yielded, cx)).await;
}

/// Yields at every second call.
fn yield_once(has_yielded: &mut bool, cx: &Context<'_>) -> Poll<()> {
    *has_yielded = !*has_yielded;
    if !*has_yielded {
        return Poll::Ready(());
    }
    // A task that wakes itself goes to the end of its thread's queue.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Waits until the task is woken, by what was polled before.
async fn woken() {
    let mut is_woken = false;
    poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls `connection`, where several requests share it, after all tasks that are ready: their answers, such as one change on
/// a hundred streams, are sent together.
pub(super) fn poll_gathered<F: Future>(
    connection: Pin<&mut F>,
    is_shared: bool,
    has_yielded: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    if (is_shared || *has_yielded) && yield_once(has_yielded, cx).is_pending() {
        return Poll::Pending;
    }
    connection.poll(cx)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::Mutex;
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;

    /// The order in which steps ran on one thread, of three handshakes of two steps each and three requests.
    #[tokio::test]
    async fn requests_run_between_the_steps_of_handshakes() {
        let turns = HandshakeTurns(Arc::new(Semaphore::new(1)));
        let order = Arc::new(Mutex::new(String::new()));
        let note = |step: char| order.lock().unwrap().push(step);
        let handshake = || async {
            turns
                .pace(async {
                    note('h');
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    note('h');
                })
                .await;
        };
        let request = || async {
            for _ in 0..3 {
                note('r');
                after_others().await;
            }
        };
        tokio::join!(join_all((0..3).map(|_| handshake())), request());
        let order = order.lock().unwrap().clone();
        assert_eq!(order.matches('h').count(), 6, "{order}");
        assert!(order.starts_with("rhrhr"), "{order}");
    }
}
