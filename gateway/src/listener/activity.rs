//! What a connection is doing, so that one that does nothing, or too slowly, can be closed.
//!
//! Requests only store times; a timer of the connection looks at them when it fires, instead of being set anew for each
//! request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::Instant;
use tokio_util::io::InspectReader;

/// How long a connection may stay in each state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a request's head to its last; `None` where heads cannot be told from other traffic.
    pub(super) head: Option<Duration>,
    /// Without a request.
    pub(super) idle: Duration,
}

/// The state of one connection. Times are in milliseconds since `start`; 0 stands for none.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    requests: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    /// Whether requests are no longer taken.
    ended: AtomicBool,
}

impl Activity {
    /// A new connection, from which the first request's head is expected now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(1),
            ended: AtomicBool::new(false),
        })
    }

    /// Notes a request, until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        Busy(self.clone())
    }

    /// Takes no more requests.
    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    /// `stream`, with a note of the arrival of its bytes.
    pub(super) fn watch<S: AsyncRead>(self: &Arc<Self>, stream: S) -> InspectReader<S, impl FnMut(&[u8]) + use<S>> {
        let activity = self.clone();
        InspectReader::new(stream, move |bytes| {
            if !bytes.is_empty() {
                activity.bytes_arrived();
            }
        })
    }

    /// When the connection must be closed if nothing more happens; `None` while a request is handled.
    pub(super) fn deadline(&self, patience: Patience) -> Option<Instant> {
        if self.requests.load(Relaxed) > 0 {
            return None;
        }
        let at = |since: &AtomicU64, patience| self.start + Duration::from_millis(since.load(Relaxed)) + patience;
        Some(match patience.head {
            Some(head) if self.head_since.load(Relaxed) > 0 => at(&self.head_since, head),
            _ => at(&self.idle_since, patience.idle),
        })
    }

    /// Whether a part of a request's head is there, or the first head is still awaited.
    pub(super) fn is_reading_head(&self) -> bool {
        self.head_since.load(Relaxed) > 0
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn bytes_arrived(&self) {
        if self.requests.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.now(), Relaxed);
        }
    }
}

/// A request that is being handled.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    /// Whether it came after the connection's end.
    pub(super) fn is_refused(&self) -> bool {
        self.0.ended.load(Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);
    const PATIENCE: Patience = Patience { head: Some(HEAD), idle: IDLE };

    /// How long after what is noted in `since` the connection ends.
    fn patience_left(activity: &Activity, since: &AtomicU64) -> Duration {
        let noted = activity.start + Duration::from_millis(since.load(Relaxed));
        activity.deadline(PATIENCE).unwrap() - noted
    }

    #[tokio::test]
    async fn a_head_has_less_time_than_an_idle_connection_and_a_request_has_all_time() {
        let activity = Activity::new();
        assert_eq!(patience_left(&activity, &activity.head_since), HEAD);
        let request = activity.begin();
        assert_eq!(activity.deadline(PATIENCE), None);
        drop(request);
        assert_eq!(patience_left(&activity, &activity.idle_since), IDLE);

        let (mut client, server) = tokio::io::duplex(64);
        let mut server = activity.watch(server);
        client.write_all(b"GET").await.unwrap();
        server.read_u8().await.unwrap();
        let first_byte = activity.deadline(PATIENCE);
        assert_eq!(patience_left(&activity, &activity.head_since), HEAD);
        activity.head_since.fetch_add(5000, Relaxed);
        server.read_u8().await.unwrap();
        let shifted = first_byte.map(|deadline| deadline + Duration::from_secs(5));
        assert_eq!(activity.deadline(PATIENCE), shifted, "a trickle of bytes wins no time");
    }
}
