//! How many bytes a second one client may send.
//!
//! Frames that are no requests (SETTINGS, PING, PRIORITY, parts of a head) cost time too, and no limit of requests counts
//! them. A client that sends more than its requests can need is read more slowly; nothing is refused.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// What a client may send for each request that it may make. Few requests are larger, with their body.
const BYTES_PER_REQUEST: u64 = 1024;
/// The smallest rate, for clients that may make fewer requests: a body of the largest size takes a quarter of a second.
const LEAST: u64 = 256;
const SECOND: u64 = 1_000_000_000;
/// How far ahead of its rate a client may send, in nanoseconds: several of the largest bodies at the default rate.
const AHEAD: u64 = SECOND / 4;

/// The bytes of one client, as the time that they take at its rate.
#[derive(Debug)]
pub(super) struct Inflow {
    /// Nanoseconds for 1,024 bytes; 0 where the rate is not limited.
    nanos_per_kib: u64,
    start: Instant,
    /// When all bytes counted so far would have arrived at the client's rate, in nanoseconds since `start`.
    even_at: AtomicU64,
}

impl Inflow {
    /// A client that may make `rate` requests in a second.
    pub(super) fn new(rate: Option<NonZeroU32>) -> Self {
        let nanos_per_kib = rate.map_or(0, |rate| SECOND / u64::from(rate.get()).max(LEAST));
        Self { nanos_per_kib, start: Instant::now(), even_at: AtomicU64::new(0) }
    }

    /// Counts `bytes` that are read next; how long to wait before.
    pub(super) fn count(&self, bytes: usize) -> Duration {
        if self.nanos_per_kib == 0 { Duration::ZERO } else { self.count_at(self.now(), bytes) }
    }

    /// Takes back the count of `bytes` that did not come.
    pub(super) fn take_back(&self, bytes: usize) {
        if bytes == 0 || self.nanos_per_kib == 0 {
            return;
        }
        let cost = self.cost(bytes);
        self.even_at.update(Relaxed, Relaxed, |even_at| even_at.saturating_sub(cost));
    }

    fn cost(&self, bytes: usize) -> u64 {
        (bytes as u64).saturating_mul(self.nanos_per_kib) / BYTES_PER_REQUEST
    }

    fn count_at(&self, now: u64, bytes: usize) -> Duration {
        let cost = self.cost(bytes);
        let add = |even_at: u64| even_at.max(now).saturating_add(cost);
        let before = self.even_at.update(Relaxed, Relaxed, add);
        Duration::from_nanos(add(before).saturating_sub(now).saturating_sub(AHEAD))
    }

    /// Returns whether the client is not ahead of its rate.
    pub(super) fn is_even(&self) -> bool {
        self.even_at.load(Relaxed) <= self.now()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = SECOND / 1000;

    #[test]
    fn a_client_is_read_at_its_rate_and_may_send_ahead_after_a_pause() {
        let inflow = Inflow::new(NonZeroU32::new(1000));
        // 256,000 bytes ahead, then 1,024 for each millisecond.
        assert_eq!(inflow.count_at(0, 256_000), Duration::ZERO);
        assert_eq!(inflow.count_at(0, 1024), Duration::from_millis(1));
        assert_eq!(inflow.count_at(MILLISECOND, 10_240), Duration::from_millis(10));
        // Nobody saves for more than that.
        assert_eq!(inflow.count_at(60 * SECOND, 256_000 + 2048), Duration::from_millis(2));
        inflow.take_back(1024);
        assert_eq!(inflow.count_at(60 * SECOND, 0), Duration::from_millis(1));
    }

    #[test]
    fn requests_within_the_rate_of_requests_never_wait() {
        let inflow = Inflow::new(NonZeroU32::new(1000));
        let head = 1000;
        assert!((0..60_000).all(|number| inflow.count_at(number * MILLISECOND, head) == Duration::ZERO));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let inflow = Inflow::new(None);
        assert!((0..1000).all(|_| inflow.count(usize::MAX) == Duration::ZERO));
        assert!(inflow.is_even());
    }
}
