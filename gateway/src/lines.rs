//! A thread that writes lines from a bounded queue to standard output or a file.
//!
//! Nobody waits for an output that is slow or that nobody reads: the queue fills, and further lines are refused. A
//! caller that must know that its line was handed to the operating system asks for a [`Receipt`].

mod output;
mod preface;
mod queue;
#[cfg(test)]
mod tests;

pub use output::Output;
pub use preface::Preface;
pub use queue::{Full, Lost, OutputHealth, Receipt, Reservation};

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

use self::output::Open;
use self::queue::Queue;

/// The pause between checks while closing.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A queue of lines. Clones share it.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Queue>);

/// The thread that writes the lines.
#[derive(Debug)]
pub struct LineWriter {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

/// The settings of a queue and its thread.
#[derive(Debug)]
pub struct LineSettings {
    /// The thread's name, 15 bytes at most.
    pub name: &'static str,
    /// Where the lines go.
    pub output: Output,
    /// How many bytes may wait to be written.
    pub capacity_bytes: usize,
    /// Counts the lines that were accepted and then lost, because writing them failed.
    pub lost: Counter,
    /// Reports the first of consecutive write errors, from the writing thread.
    pub report: fn(&io::Error),
}

impl Lines {
    /// Opens the output and starts its thread.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or the thread cannot be started.
    pub fn start(settings: LineSettings) -> io::Result<(Self, LineWriter)> {
        let output = Open::new(settings.output)?;
        let queue = Arc::new(Queue::new(settings.capacity_bytes));
        let writer = Writer { output, generation: 1, lost: settings.lost, report: settings.report, failing: false };
        let shared = queue.clone();
        let thread = thread::Builder::new().name(settings.name.to_owned()).spawn(move || writer.run(&shared))?;
        Ok((Self(queue.clone()), LineWriter { queue, thread }))
    }

    /// Queues a line, given without its newline. A quarter of the queue is reserved for lines with a receipt.
    ///
    /// # Errors
    ///
    /// [`Full`]: the line is not queued.
    pub fn push(&self, line: Vec<u8>) -> Result<(), Full> {
        self.0.push(line)
    }

    /// Queues a line about `of`, whose lines may take at most a quarter of the queue. The preface that it refers to is
    /// written before it.
    ///
    /// # Errors
    ///
    /// [`Full`]: the line is not queued.
    pub fn push_shared(&self, line: Vec<u8>, of: &Arc<str>, preface: Option<Arc<Preface>>) -> Result<(), Full> {
        self.0.push_shared(line, of, preface)
    }

    /// Queues a line, and returns its receipt.
    ///
    /// # Errors
    ///
    /// [`Full`]: the line is not queued.
    pub fn push_with_receipt(&self, line: Vec<u8>) -> Result<Receipt, Full> {
        self.0.push_with_receipt(line)
    }

    /// Reserves room for a line of up to `bytes`, to be queued later.
    ///
    /// # Errors
    ///
    /// [`Full`]: there is no room.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, Full> {
        Reservation::reserve(&self.0, bytes)
    }

    /// How many bytes wait to be written.
    pub fn queued_bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The state of the output, as of the last write.
    pub fn health(&self) -> OutputHealth {
        self.0.health()
    }

    /// Reopens the file, after the open one was moved. Does nothing for standard output.
    pub fn reopen(&self) {
        self.0.reopen();
    }
}

impl LineWriter {
    /// Refuses further lines, except those with a reservation, and waits at most `patience` until the others are
    /// written. Returns whether the thread ended in time.
    pub fn close(self, patience: Duration) -> bool {
        self.queue.close();
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.thread.join().is_ok()
    }
}

/// The state of the writing thread.
struct Writer {
    output: Open,
    /// Goes up whenever the output may lack earlier lines: it was reopened or truncated, or a write failed.
    generation: u64,
    lost: Counter,
    report: fn(&io::Error),
    failing: bool,
}

impl Writer {
    fn run(mut self, queue: &Queue) {
        while let Some(batch) = queue.next() {
            let written = self.output.follow(batch.reopen).and_then(|anew| {
                self.generation += u64::from(anew);
                self.output.write(&batch.text(self.generation))
            });
            match written {
                Ok(()) => {
                    self.failing = false;
                    queue.written(batch);
                }
                Err(error) => {
                    self.generation += 1;
                    self.lost.inc_by(batch.lines() as u64);
                    if !std::mem::replace(&mut self.failing, true) {
                        (self.report)(&error);
                    }
                    queue.lost(batch, error.to_string());
                }
            }
        }
    }
}
