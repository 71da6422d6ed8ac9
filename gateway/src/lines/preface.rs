//! Lines that other lines refer to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A line that others refer to: it is written before the first of them, and again in each file that may lack it.
#[derive(Debug)]
pub struct Preface {
    pub(super) text: Vec<u8>,
    /// The latest generation of the output that has it; 0 if none has.
    written: AtomicU64,
    /// Whether a queued line has counted its bytes.
    paid: AtomicBool,
}

impl Preface {
    /// A line, given without its newline.
    pub fn new(text: Vec<u8>) -> Self {
        Self { text, written: AtomicU64::new(0), paid: AtomicBool::new(false) }
    }

    /// The bytes of its line.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// What a line that refers to it costs in addition: the first such line also pays for this one.
    pub(super) fn cost(&self) -> usize {
        if self.paid.load(Ordering::Relaxed) { 0 } else { self.text.len() }
    }

    pub(super) fn pay(&self) {
        self.paid.store(true, Ordering::Relaxed);
    }

    /// Marks it as written to generation `output`. Returns whether that generation lacked it.
    pub(super) fn enter(&self, output: u64) -> bool {
        self.written.swap(output, Ordering::Relaxed) != output
    }
}
