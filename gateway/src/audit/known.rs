//! Which inputs later records name by their digests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lines::Preface;

/// The bytes of records of inputs that are kept.
const MOST_BYTES: usize = 4 << 20;
/// What a kept record takes beside its bytes.
const OVERHEAD: usize = 200;
/// How long an input is named before it is written again, so that the latest files suffice to find it.
const WHOLE_AGAIN: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct KnownInputs {
    /// Their records by SHA-256. The writer puts each of them before the first record that names it, in each file.
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
    /// The record of an input, made by `record` unless it is known.
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
