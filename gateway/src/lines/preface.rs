//! A line that others refer to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A line that others refer to: it is written before the first of them, and again in each file that may lack it.
#[derive(Debug)]
pub struct Preface {
    pub(super) text: Vec<u8>,
    /// The generation of the output that has it; 0 is none.
    written: AtomicU64,
    /// Whether a line has paid for its bytes in the queue.
    paid: AtomicBool,
}

impl Preface {
    /// A line, without its newline.
    pub fn new(text: Vec<u8>) -> Self {
        Self { text, written: AtomicU64::new(0), paid: AtomicBool::new(false) }
    }

    /// The bytes of its line.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// What a line that refers to it costs beside its own bytes: the first one pays for both.
    pub(super) fn cost(&self) -> usize {
        if self.paid.load(Ordering::Relaxed) { 0 } else { self.text.len() }
    }

    pub(super) fn pay(&self) {
        self.paid.store(true, Ordering::Relaxed);
    }

    /// Returns whether generation `output` still lacks it; from now on it does not.
    pub(super) fn enter(&self, output: u64) -> bool {
        self.written.swap(output, Ordering::Relaxed) != output
    }
}
