//! Turns of the processor for connections that take much of it, so that requests of others are answered in between.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::clients::threads;

/// How long after a request, in milliseconds, handshakes leave time for the next.
const RECENTLY: u64 = 25;

/// The turns of handshakes, each of which computes for as long as many requests take. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct HandshakeTurns(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    free: Arc<Semaphore>,
    start: Instant,
    /// When a request came last, in milliseconds since `start`, to within [`RECENTLY`]; 0 before the first.
    asked_at: AtomicU64,
}

impl HandshakeTurns {
    /// Half as many turns at once as threads serve.
    pub(super) fn new() -> Self {
        Self::of(threads() / 2)
    }

    fn of(turns: usize) -> Self {
        Self(Arc::new(Turns {
            free: Arc::new(Semaphore::new(turns)),
            start: Instant::now(),
            asked_at: AtomicU64::new(0),
        }))
    }

    /// Notes a request.
    pub(super) fn note_request(&self) {
        let now = self.0.now();
        // Not each, since all threads write it.
        if self.0.asked_at.load(Relaxed) + RECENTLY < now {
            self.0.asked_at.store(now, Relaxed);
        }
    }

    /// Polls `handshake` at its turn. The next turn begins after all tasks that were ready meanwhile; while there are
    /// requests, handshakes take a third of the time at most.
    pub(super) async fn take<F: Future>(&self, handshake: Pin<&mut F>) -> Poll<F::Output> {
        let mut handshake = handshake;
        let turns = self.0.clone();
        // It is never closed.
        let turn = turns.free.clone().acquire_owned().await;
        let began = Instant::now();
        let polled = poll_fn(|cx| Poll::Ready(handshake.as_mut().poll(cx))).await;
        let took = began.elapsed();
        tokio::spawn(async move {
            after_others().await;
            if turns.serve_requests() {
                sleep(2 * took).await;
            }
            drop(turn);
        });
        polled
    }
}

impl Turns {
    /// Returns whether requests came lately.
    fn serve_requests(&self) -> bool {
        let asked_at = self.asked_at.load(Relaxed);
        asked_at > 0 && self.now() <= asked_at + 2 * RECENTLY
    }

    /// Milliseconds since `start`; the first ones are left out, so that 0 stands for none.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).map_or(0, |millis| millis + 2 * RECENTLY)
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
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn requests_are_answered_between_handshakes() {
        let turns = HandshakeTurns::of(1);
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

    #[tokio::test]
    async fn handshakes_leave_time_to_requests_while_there_are_any() {
        const HANDSHAKES: u32 = 5;
        const TAKES: Duration = Duration::from_millis(2);
        let turns = HandshakeTurns::of(1);
        turns.note_request();
        let began = Instant::now();
        for _ in 0..=HANDSHAKES {
            turns.note_request();
            let handshake = pin!(async { std::thread::sleep(TAKES) });
            assert!(turns.take(handshake).await.is_ready());
        }
        assert!(began.elapsed() >= HANDSHAKES * 3 * TAKES, "{:?}", began.elapsed());
    }
}
