//! How many requests a second one client may make.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};

/// A token bucket, which holds the requests of one second; none where the rate is not limited.
#[derive(Debug)]
pub(super) struct Rate(Option<Bucket>);

#[derive(Debug)]
struct Bucket {
    size: NonZeroU32,
    limiter: DefaultDirectRateLimiter,
}

impl Rate {
    /// A full bucket; it gains `per_second` tokens each second.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        let limiter = |size| DefaultDirectRateLimiter::direct(Quota::per_second(size));
        Self(per_second.map(|size| Bucket { size, limiter: limiter(size) }))
    }

    /// Takes `count` tokens, at most the bucket's size. Otherwise takes none, and returns the time until they are there.
    pub(super) fn take(&self, count: u32) -> Result<(), Duration> {
        let Some(Bucket { limiter, .. }) = &self.0 else { return Ok(()) };
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        match limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(DefaultClock::default().now())),
            // It never holds so many.
            Err(_) => Err(Duration::from_secs(1)),
        }
    }

    /// Empties a full bucket, and returns whether it was full: to drop it then gives its client nothing.
    pub(super) fn empty_if_full(&self) -> bool {
        self.0.as_ref().is_none_or(|Bucket { size, limiter }| matches!(limiter.check_n(*size), Ok(Ok(()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_the_requests_of_one_second_and_says_when_there_are_more() {
        let rate = Rate::new(NonZeroU32::new(20));
        assert_eq!(rate.take(0), Ok(()));
        let wait = (0..10_000).find_map(|_| rate.take(4).err());
        assert!(wait.is_some_and(|wait| wait <= Duration::from_millis(200)), "{wait:?}");
        assert_eq!(rate.take(21), Err(Duration::from_secs(1)));
        assert!(!rate.empty_if_full());
        assert!(Rate::new(NonZeroU32::new(20)).empty_if_full());
    }

    #[test]
    fn without_a_rate_nothing_is_limited() {
        let rate = Rate::new(None);
        assert!((0..100_000).all(|_| rate.take(u32::MAX).is_ok()));
        assert!(rate.empty_if_full());
    }
}
