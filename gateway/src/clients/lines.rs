//! How many lines one client's refused requests may write to the log.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// How many in one second.
const MOST: u64 = 10;

/// What a client has left of them: the second, and how many lines it had in it, in the low half.
#[derive(Debug, Default)]
pub(super) struct LogLines(AtomicU64);

impl LogLines {
    /// Takes a line of this second, if there is one left.
    pub(super) fn take(&self) -> bool {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.take_in(START.elapsed().as_secs())
    }

    fn take_in(&self, second: u64) -> bool {
        let next = |packed: u64| {
            let taken = if packed >> 32 == second { packed & 0xffff_ffff } else { 0 };
            (taken < MOST).then_some((second << 32) | (taken + 1))
        };
        self.0.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_ten_lines_in_each_second() {
        let lines = LogLines::default();
        let taken = |second| (0..100).filter(|_| lines.take_in(second)).count();
        assert_eq!((taken(0), taken(0), taken(1), taken(7)), (10, 0, 10, 10));
    }
}
