//! How long one evaluation may take, in processor time.
//!
//! An evaluation waits for nothing. Where more time has passed than its thread has worked, the machine was busy with
//! something else, or the container had used up its share of the processors: no fault of the module.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::EvalError;

/// When an evaluation must be over. It is checked by the thread that evaluates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// Before this instant it cannot be over, since no thread works longer than time passes.
    earliest: Instant,
    /// How long the thread had worked when the evaluation began.
    before: Duration,
    allowed: Duration,
}

impl Deadline {
    /// The end of an evaluation that begins now on this thread, and may work for so long.
    pub(super) fn after(allowed: Duration) -> Self {
        Self { earliest: Instant::now() + allowed, before: worked(), allowed }
    }

    /// For evaluations that are not metered: in a hundred years.
    pub(super) fn never() -> Self {
        let allowed = Duration::from_hours(100 * 365 * 24);
        Self { earliest: Instant::now() + allowed, before: Duration::ZERO, allowed }
    }

    /// For tests that are not about it.
    #[cfg(test)]
    pub(super) fn in_an_hour() -> Self {
        Self::after(Duration::from_hours(1))
    }

    /// An error once it is over.
    pub(super) fn check(&self) -> Result<(), EvalError> {
        let is_over = Instant::now() >= self.earliest && worked().saturating_sub(self.before) >= self.allowed;
        if is_over { Err(EvalError::Deadline(self.allowed)) } else { Ok(()) }
    }
}

/// How long this thread has used a processor.
pub(in crate::policy) fn worked() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn only_work_uses_up_the_time() {
        let allowed = Duration::from_millis(2);
        let deadline = Deadline::after(allowed);
        std::thread::sleep(10 * allowed);
        assert_eq!(deadline.check(), Ok(()));
        let begun = worked();
        while worked().saturating_sub(begun) < allowed {}
        assert_eq!(deadline.check(), Err(EvalError::Deadline(allowed)));
    }
}
