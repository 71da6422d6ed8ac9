//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(10);

/// Exponential backoff with jitter: a random part of at least half of a bound that doubles from 250 ms to 10 s, so that
/// gateways do not all come back at the same instant.
#[derive(Debug)]
pub(super) struct Backoff {
    bound: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { bound: FIRST }
    }

    pub(super) fn reset(&mut self) {
        self.bound = FIRST;
    }

    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound;
        self.bound = (bound * 2).min(MOST);
        bound.mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_its_bound_and_starts_over_after_a_reset() {
        let mut backoff = Backoff::new();
        let mut bound = FIRST;
        for _ in 0..12 {
            let wait = backoff.next();
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} is not within half of {bound:?}");
            bound = (bound * 2).min(MOST);
        }
        assert_eq!(bound, MOST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
