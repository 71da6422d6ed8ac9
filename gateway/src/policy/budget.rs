//! What one evaluation of a module may use.

use std::time::Duration;

use super::engine::TICK;

/// The longest deadline that a budget may have.
pub(super) const MOST_DEADLINE: Duration = Duration::from_secs(1);

/// The most linear memory that a budget may allow.
pub(super) const MOST_MEMORY_BYTES: usize = 256 << 20;

/// The most output that a budget may allow.
pub(super) const MOST_OUTPUT_BYTES: usize = 1 << 20;

/// The limits of one evaluation. A module that exceeds one gives no verdict; the next evaluation is not affected. A decision
/// evaluates once more if the deadline was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Processor time for instantiation and evaluation together, from 1 ms to 1 s in steps of 1 ms. Default 5 ms.
    /// Time in which the machine was busy with something else does not count.
    pub deadline: Duration,
    /// The module's linear memory, from 1 MiB to 256 MiB. Default 16 MiB.
    pub memory_bytes: usize,
    /// Its answer, and each value that it hands to a host builtin or gets from one, from 1 byte to 1 MiB. Default 64 KiB.
    pub output_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(5), memory_bytes: 16 << 20, output_bytes: 64 << 10 }
    }
}

impl Budget {
    /// The deadline in epochs. The epoch under way is partly over, so they may pass sooner; the evaluation then goes on
    /// until it is due.
    pub(super) fn epochs(&self) -> u64 {
        u64::try_from(self.deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX)
    }
}
