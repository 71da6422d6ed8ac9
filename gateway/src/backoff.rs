//! How long to wait before the next attempt.

use std::time::Duration;

/// A wait that doubles with each failure in a row.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The wait after one failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` in a row; 0 counts as 1.
    pub fn after(&self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(31)).min(self.longest)
    }

    /// As [`Backoff::after`], less a random part of up to half, so that gateways do not all retry at the same
    /// instant.
    pub fn jittered(&self, failures: u32) -> Duration {
        self.after(failures).mul_f64(0.5 + 0.5 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(30) };

    #[test]
    fn the_wait_doubles_with_each_failure_up_to_the_longest() {
        let waits: Vec<_> = (1..=10).map(|failures| BACKOFF.after(failures).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(BACKOFF.after(u32::MAX), BACKOFF.longest);
    }

    #[test]
    fn jitter_takes_half_of_a_wait_at_most() {
        for failures in 1..100 {
            let (whole, wait) = (BACKOFF.after(failures), BACKOFF.jittered(failures));
            assert!(whole / 2 <= wait && wait <= whole, "{wait:?} is not within half of {whole:?}");
        }
    }
}
