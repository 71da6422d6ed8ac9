//! The inputs that records name by their digests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lines::Preface;

/// How many bytes of input records are kept; beyond it, all are forgotten.
const MOST_BYTES: usize = 4 << 20;
/// The memory that a kept record takes beside its text, in bytes.
const OVERHEAD: usize = 200;
/// How often all inputs are forgotten, and so written again: the latest files have every input that they name. A kept
/// answer may go on naming one for as long again.
const WHOLE_AGAIN: Duration = Duration::from_mins(5);

#[derive(Debug)]
pub(super) struct KnownInputs {
    /// The input records by SHA-256. The writer puts each before the first record that names it, in each file.
    records: HashMap<Vec<u8>, Arc<Preface>>,
    bytes: usize,
    since: Instant,
}

impl Default for KnownInputs {
    fn default() -> Self {
        Self { records: HashMap::new(), bytes: 0, since: Instant::now() }
    }
}

impl KnownInputs {
    /// The record of the input with this digest; `record` makes it unless it is known.
    pub(super) fn record(&mut self, digest: &[u8], record: impl FnOnce() -> Vec<u8>) -> Arc<Preface> {
        if self.since.elapsed() > WHOLE_AGAIN || self.bytes >= MOST_BYTES {
            *self = Self::default();
        }
        if let Some(known) = self.records.get(digest) {
            return known.clone();
        }
        let made = Arc::new(Preface::new(record()));
        self.bytes += made.bytes() + OVERHEAD;
        self.records.insert(digest.to_vec(), made.clone());
        made
    }
}
