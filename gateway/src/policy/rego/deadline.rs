//! How long one evaluation may take. Epochs interrupt the guest alone, so host functions look at the clock themselves.

use std::time::{Duration, Instant};

use super::EvalError;

/// When an evaluation must be over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    allowed: Duration,
}

impl Deadline {
    /// A deadline so long after now.
    pub(super) fn after(allowed: Duration) -> Self {
        Self { at: Instant::now() + allowed, allowed }
    }

    /// For tests that are not about it.
    #[cfg(test)]
    pub(super) fn in_an_hour() -> Self {
        Self::after(Duration::from_hours(1))
    }

    /// An error once it is over.
    pub(super) fn check(&self) -> Result<(), EvalError> {
        if Instant::now() < self.at { Ok(()) } else { Err(EvalError::Deadline(self.allowed)) }
    }
}
