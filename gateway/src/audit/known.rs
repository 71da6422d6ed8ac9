//! Which inputs the output has already, so that later records name them by their digests.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How many digests are kept.
const MOST: usize = 4096;
/// How long an input is named before it is written again, so that the latest files suffice to find it.
const WHOLE_AGAIN: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct KnownInputs {
    /// SHA-256.
    digests: HashSet<Vec<u8>>,
    since: Instant,
    /// The output's break count then.
    breaks: u64,
}

impl Default for KnownInputs {
    fn default() -> Self {
        Self { digests: HashSet::new(), since: Instant::now(), breaks: 0 }
    }
}

impl KnownInputs {
    /// Returns whether the output, at break count `breaks`, has it.
    pub(super) fn has(&mut self, digest: &[u8], breaks: u64) -> bool {
        if self.since.elapsed() > WHOLE_AGAIN || self.digests.len() >= MOST || self.breaks != breaks {
            *self = Self { breaks, ..Self::default() };
        }
        self.digests.contains(digest)
    }

    /// The output has it from now on.
    pub(super) fn add(&mut self, digest: &[u8]) {
        self.digests.insert(digest.to_vec());
    }
}
