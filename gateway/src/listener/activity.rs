//! What a connection is doing, so that one that does nothing, or too slowly, can be closed.
//!
//! Requests only store times; a timer of the connection looks at them when it fires, instead of being set anew for each
//! request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::time::Instant;

use super::pace::{AT_ONCE, Pace};

/// How long a connection may stay in each state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a request's head to its last; `None` where heads cannot be told from other traffic.
    pub(super) head: Option<Duration>,
    /// Without a request.
    pub(super) idle: Duration,
    /// While the client does not read a part of an answer.
    pub(super) write: Duration,
}

impl Patience {
    /// The shortest of them.
    pub(super) fn shortest(self) -> Duration {
        self.head.unwrap_or(self.idle).min(self.idle).min(self.write)
    }
}

/// The state of one connection. Times are in milliseconds since `start`; 0 stands for none.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    requests: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    /// Since when each answer that is being sent waits for its client to read.
    sending: Mutex<Vec<Arc<AtomicU64>>>,
    /// Whether requests are no longer taken.
    ended: AtomicBool,
    /// Whether the client is to go on with another connection.
    old: AtomicBool,
}

impl Activity {
    /// A new connection, from which the first request's head is expected now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(1),
            head_since: AtomicU64::new(1),
            sending: Mutex::default(),
            ended: AtomicBool::new(false),
            old: AtomicBool::new(false),
        })
    }

    /// Notes a request, until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.fetch_add(1, Relaxed);
        self.head_since.store(0, Relaxed);
        Busy(self.clone())
    }

    /// Returns whether several requests are being handled, or streams open.
    pub(super) fn is_shared(&self) -> bool {
        self.requests.load(Relaxed) > 1
    }

    /// Follows how far a long answer has been sent, until the guard is dropped. Behind unread answers, not even its first
    /// part is asked for.
    pub(super) fn send(self: &Arc<Self>) -> Sending {
        let since = Arc::new(AtomicU64::new(self.now()));
        self.sending().push(since.clone());
        Sending { activity: self.clone(), since }
    }

    /// When the client must have read more of an answer; `None` while none waits for that.
    pub(super) fn write_deadline(&self, patience: Patience) -> Option<Instant> {
        let waiting = |since: &Arc<AtomicU64>| Some(since.load(Relaxed)).filter(|since| *since > 0);
        let oldest = self.sending().iter().filter_map(waiting).min()?;
        Some(self.start + Duration::from_millis(oldest) + patience.write)
    }

    fn sending(&self) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more requests.
    pub(super) fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    /// Notes that the connection has reached its greatest age.
    pub(super) fn grow_old(&self) {
        self.old.store(true, Relaxed);
    }

    /// Returns whether the connection has reached its maximum age.
    pub(super) fn is_old(&self) -> bool {
        self.old.load(Relaxed)
    }

    /// `stream`, read at `pace`, with notes of the arrival of its bytes, and of how long its client lets it wait to write.
    pub(super) fn watch<S: AsyncRead>(self: &Arc<Self>, stream: S, pace: Pace) -> Watched<S> {
        let sending = self.send();
        sending.asked();
        Watched { stream: stream.take(AT_ONCE as u64), pace, sending }
    }

    /// When the connection must be closed if nothing more happens; `None` while a request is handled and its answer read.
    pub(super) fn deadline(&self, patience: Patience) -> Option<Instant> {
        [self.write_deadline(patience), self.request_deadline(patience)].into_iter().flatten().min()
    }

    fn request_deadline(&self, patience: Patience) -> Option<Instant> {
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

/// An answer that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    activity: Arc<Activity>,
    since: Arc<AtomicU64>,
}

impl Sending {
    /// Notes that a part was handed over: the client must read before the next one is asked for.
    pub(super) fn handed_over(&self) {
        self.since.store(self.activity.now(), Relaxed);
    }

    /// Notes that the client must read before more can be sent, unless that is noted already.
    fn waits(&self) {
        let _ = self.since.compare_exchange(0, self.activity.now(), Relaxed, Relaxed);
    }

    /// Notes that the next part is asked for.
    pub(super) fn asked(&self) {
        self.since.store(0, Relaxed);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.activity.sending().retain(|since| !Arc::ptr_eq(since, &self.since));
    }
}

/// A stream that notes what its client does.
#[derive(Debug)]
pub(super) struct Watched<S> {
    /// Limited to what may be read at once.
    stream: Take<S>,
    pace: Pace,
    sending: Sending,
}

impl<S> Watched<S> {
    fn written<T>(&self, result: Poll<T>) -> Poll<T> {
        match result {
            Poll::Pending => self.sending.waits(),
            Poll::Ready(_) => self.sending.asked(),
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let allowed = ready!(self.pace.poll_allowed(cx));
        let before = buffer.filled().len();
        self.stream.set_limit(allowed as u64);
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let arrived = buffer.filled().len() - before;
        self.pace.read(arrived);
        if result.is_pending() {
            self.pace.nothing();
        }
        if arrived > 0 {
            self.sending.activity.bytes_arrived();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(self.stream.get_mut()).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(self.stream.get_mut()).poll_flush(cx);
        self.written(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(self.stream.get_mut()).poll_write_vectored(cx, slices);
        self.written(result)
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

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::clients::testing::clients;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_mins(1);
    const WRITE: Duration = Duration::from_secs(30);
    const PATIENCE: Patience = Patience { head: Some(HEAD), idle: IDLE, write: WRITE };

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
        let mut server = activity.watch(server, Pace::new(clients().account(None)));
        client.write_all(b"GET").await.unwrap();
        server.read_u8().await.unwrap();
        let first_byte = activity.deadline(PATIENCE);
        assert_eq!(patience_left(&activity, &activity.head_since), HEAD);
        activity.head_since.fetch_add(5000, Relaxed);
        server.read_u8().await.unwrap();
        let shifted = first_byte.map(|deadline| deadline + Duration::from_secs(5));
        assert_eq!(activity.deadline(PATIENCE), shifted, "a trickle of bytes wins no time");
    }

    #[test]
    fn an_answer_that_waits_for_its_reader_has_limited_time_however_many_others_are_read() {
        let activity = Activity::new();
        let _request = activity.begin();
        let (unread, read) = (activity.send(), activity.send());
        read.asked();
        unread.asked();
        assert_eq!(activity.deadline(PATIENCE), None);
        unread.handed_over();
        let deadline = activity.deadline(PATIENCE).unwrap();
        assert!(deadline <= Instant::now() + WRITE + Duration::from_millis(1));
        read.handed_over();
        read.asked();
        assert_eq!(activity.deadline(PATIENCE), Some(deadline));
        drop(unread);
        assert_eq!(activity.deadline(PATIENCE), None);
    }
}
