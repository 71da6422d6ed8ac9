//! Turns of the processor for connections that take much of it, so that requests of others are answered in between.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::Semaphore;

use crate::clients::threads;

/// The turns of handshakes, each of which computes for as long as many requests take. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct HandshakeTurns(Arc<Semaphore>);

impl HandshakeTurns {
    /// As many turns at once as threads serve.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(threads())))
    }

    /// Polls `handshake` at its turn. The next turn begins after all tasks that were ready meanwhile.
    pub(super) async fn take<F: Future>(&self, handshake: Pin<&mut F>) -> Poll<F::Output> {
        let mut handshake = handshake;
        // It is never closed.
        let turn = self.0.clone().acquire_owned().await;
        let polled = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
        tokio::spawn(async move {
            after_others().await;
            drop(turn);
        });
        polled
    }
}

/// Puts the running task behind all that are ready. Tokio's `yield_now` may let many more pass.
async fn after_others() {
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

    use std::pin::pin;
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn requests_are_answered_between_handshakes() {
        let turns = HandshakeTurns(Arc::new(Semaphore::new(1)));
        let order = Arc::new(Mutex::new(String::new()));
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let (turns, order) = (turns.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let handshake = pin!(async { order.lock().unwrap().push('h') });
                assert!(turns.take(handshake).await.is_ready());
            }));
        }
        let noted = order.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..30 {
                noted.lock().unwrap().push('r');
                after_others().await;
            }
        }));
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap().clone();
        assert_eq!(order.matches('h').count(), 3, "{order}");
        assert!(!order.contains("hh"), "{order}");
    }
}
