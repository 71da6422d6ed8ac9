//! The processor time of what tests do.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long this thread uses a processor for `work`.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let before = used();
    work();
    used().saturating_sub(before)
}

/// Asserts that `large`, which does the same for a hundred times as many objects as `small`, takes less than thirty times
/// as long. A scan of all objects takes a hundred times as long, objects that are not in the processor's caches a few times.
/// Of several attempts the quickest count, so that no other load on the machine does.
pub(crate) fn assert_hardly_grows(small: impl Fn() -> Duration, large: impl Fn() -> Duration) {
    let quickest = |attempt: &dyn Fn() -> Duration| (0..5).map(|_| attempt()).min().unwrap_or_default();
    let (small, large) = (quickest(&small), quickest(&large));
    assert!(large < 30 * small, "{large:?}, and {small:?} for a hundredth of the objects");
}
