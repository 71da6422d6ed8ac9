//! Which clients' decisions may run on the serving threads, which all clients share.
//!
//! A decision that runs there blocks all other requests of its thread. Quick decisions are not limited; for slow ones a
//! client gets a tenth of a thread, and all clients together half of one. The rest run in slots.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A decision of at most this length is free: other parts of a request may take as long.
const QUICK: Duration = Duration::from_micros(500);
/// A slow decision of one client is paid off in this many times its length.
pub(super) const OF_CLIENT: u32 = 10;
/// The same for all clients together.
pub(super) const OF_ALL: u32 = 2;
/// The largest debt with which decisions may run on serving threads, as the time until it is paid off.
const LIMIT: Duration = Duration::from_millis(100);
/// The largest debt that is kept: any debt is paid off after this time.
const LONGEST: Duration = Duration::from_secs(10);

/// The debt for slow decisions of one client, or of all clients.
#[derive(Debug)]
pub(super) struct Credit {
    factor: u32,
    start: Instant,
    /// When the debt is paid off, in microseconds since `start`.
    clear_at: AtomicU64,
}

impl Credit {
    /// No debt yet; each charge is paid off in `factor` times its length.
    pub(super) fn new(factor: u32) -> Self {
        Self { factor, start: Instant::now(), clear_at: AtomicU64::new(0) }
    }

    /// Whether the next decision may run on a serving thread.
    pub(super) fn is_good(&self) -> bool {
        self.debt(self.now()) <= micros(LIMIT)
    }

    /// Whether nothing is owed.
    pub(super) fn is_clear(&self) -> bool {
        self.debt(self.now()) == 0
    }

    /// Adds the time that a decision took, unless it was quick.
    pub(super) fn charge(&self, spent: Duration) {
        if spent > QUICK {
            self.charge_at(self.now(), spent);
        }
    }

    fn charge_at(&self, now: u64, spent: Duration) {
        let cost = micros(spent.saturating_mul(self.factor));
        let add = |clear_at: u64| Some((clear_at.max(now) + cost).min(now + micros(LONGEST)));
        let _ = self.clear_at.fetch_update(Relaxed, Relaxed, add);
    }

    fn debt(&self, now: u64) -> u64 {
        self.clear_at.load(Relaxed).saturating_sub(now)
    }

    fn now(&self) -> u64 {
        micros(self.start.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_decisions_take_a_tenth_of_a_thread_and_quick_ones_are_free() {
        let credit = Credit::new(OF_CLIENT);
        let mut ran = 0;
        // For ten seconds, a decision of five milliseconds is asked for in every millisecond.
        for now in (0..10_000_000).step_by(1000) {
            if credit.debt(now) <= micros(LIMIT) {
                credit.charge_at(now, Duration::from_millis(5));
                ran += 5;
            }
        }
        assert!((1000..=1020).contains(&ran), "{ran} ms");

        let credit = Credit::new(OF_CLIENT);
        for _ in 0..1_000_000 {
            credit.charge(QUICK);
        }
        assert!(credit.is_good() && credit.is_clear());
    }

    #[test]
    fn a_debt_is_forgotten_in_time() {
        let credit = Credit::new(OF_CLIENT);
        credit.charge_at(0, Duration::from_hours(1));
        assert!(!credit.is_good());
        assert_eq!(credit.debt(micros(LONGEST)), 0);
    }
}
