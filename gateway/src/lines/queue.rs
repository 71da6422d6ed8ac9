//! The queue between the producers of lines and the thread that writes them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::oneshot;

use super::preface::Preface;

/// The most that is written at once, in bytes, unless a single line is longer.
const BATCH: usize = 256 << 10;
/// What a queued line costs beside its text.
const OVERHEAD: usize = 64;
/// How long lines that nobody waits for may wait for others, to be written together.
const GATHERING: Duration = Duration::from_millis(5);
/// A write that takes longer than this means that nobody reads the output.
const STALLED: Duration = Duration::from_secs(2);

/// The queue has no room for a line, or is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is full")]
pub struct Full;

/// A line could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the line could not be written")]
pub struct Lost;

/// Reports whether one line was written.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

impl Receipt {
    /// Waits until the line was handed to the operating system.
    ///
    /// # Errors
    ///
    /// [`Lost`]: writing it failed and is not retried.
    pub async fn written(self) -> Result<(), Lost> {
        self.0.await.map_err(|_| Lost)
    }
}

/// The state of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputHealth {
    /// How many lines wait or are being written.
    pub waiting_lines: usize,
    /// The bytes that they take in the queue, with its overhead for each.
    pub waiting_bytes: usize,
    /// Why the last write failed, or that the current one is stalled; `None` if lines are written.
    pub error: Option<String>,
}

/// Room that is reserved for a line. Dropping it releases the room.
#[derive(Debug)]
pub struct Reservation {
    queue: Arc<Queue>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Lines with a receipt or a reservation, which are written first.
    urgent: VecDeque<Line>,
    lines: VecDeque<Line>,
    /// The bytes of the lines that wait or are being written.
    bytes: usize,
    /// The bytes of the reservations.
    reserved: usize,
    /// The bytes of the lines that wait or are being written, by the client that they are about.
    shares: HashMap<Arc<str>, usize>,
    /// How many lines are being written, and since when.
    writing: Option<(usize, Instant)>,
    /// Why the last write failed.
    error: Option<String>,
    reopen: bool,
    closed: bool,
}

#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    receipt: Option<oneshot::Sender<()>>,
    /// The share of the queue that it counts against.
    share: Option<Arc<str>>,
    /// The line that must precede it in the output.
    preface: Option<Arc<Preface>>,
    cost: usize,
}

/// Lines that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    lines: Vec<Line>,
    bytes: usize,
    /// Whether to reopen the file first.
    pub(super) reopen: bool,
}

impl Line {
    fn new(text: Vec<u8>) -> Self {
        Self { cost: cost(text.len()), text, receipt: None, share: None, preface: None }
    }
}

fn cost(bytes: usize) -> usize {
    bytes + OVERHEAD
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), capacity }
    }

    pub(super) fn push(&self, text: Vec<u8>) -> Result<(), Full> {
        self.add(Line::new(text), self.capacity - self.capacity / 4)
    }

    pub(super) fn push_shared(&self, text: Vec<u8>, of: &Arc<str>, preface: Option<Arc<Preface>>) -> Result<(), Full> {
        let mut state = self.lock();
        let cost = cost(text.len()) + preface.as_ref().map_or(0, |preface| preface.cost());
        let share = state.shares.get(of).copied().unwrap_or_default() + cost;
        if state.closed || share > self.capacity / 4 || state.bytes + cost > self.capacity - self.capacity / 4 {
            return Err(Full);
        }
        state.shares.insert(of.clone(), share);
        if let Some(preface) = &preface {
            preface.pay();
        }
        let line = Line { text, receipt: None, share: Some(of.clone()), preface, cost };
        self.queue(state, line, false);
        Ok(())
    }

    pub(super) fn push_with_receipt(&self, text: Vec<u8>) -> Result<Receipt, Full> {
        let (sender, receiver) = oneshot::channel();
        self.add(Line { receipt: Some(sender), ..Line::new(text) }, self.capacity)?;
        Ok(Receipt(receiver))
    }

    fn add(&self, line: Line, limit: usize) -> Result<(), Full> {
        let state = self.lock();
        if state.closed || state.bytes + line.cost > limit {
            return Err(Full);
        }
        let urgent = line.receipt.is_some();
        self.queue(state, line, urgent);
        Ok(())
    }

    fn queue(&self, mut state: MutexGuard<'_, State>, line: Line, urgent: bool) {
        let (idle, hurried) = (state.is_empty(), state.is_hurried());
        state.bytes += line.cost;
        if urgent { &mut state.urgent } else { &mut state.lines }.push_back(line);
        let wakes = idle || (state.is_hurried() && !hurried);
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn health(&self) -> OutputHealth {
        let state = self.lock();
        let (writing, since) = state.writing.map_or((0, None), |(lines, since)| (lines, Some(since)));
        let stalled = since.filter(|since| since.elapsed() > STALLED).map(|_| "nobody reads it".to_owned());
        OutputHealth {
            waiting_lines: writing + state.urgent.len() + state.lines.len(),
            waiting_bytes: state.bytes,
            error: state.error.clone().or(stalled),
        }
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.wake.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for lines, or for a request to reopen the file; `None` once the queue is closed and nothing more can come.
    pub(super) fn next(&self) -> Option<Batch> {
        let waiting = |state: &mut State| state.is_empty() && !state.is_over() && !state.reopen;
        let state = self.wake.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        // To wake the thread and to write cost more than a line itself.
        let gathering = self.wake.wait_timeout_while(state, GATHERING, |state| !state.is_hurried());
        let (mut state, _) = gathering.unwrap_or_else(PoisonError::into_inner);
        if state.is_empty() && !state.reopen {
            return None;
        }
        let mut batch = Batch { lines: Vec::new(), bytes: 0, reopen: std::mem::take(&mut state.reopen) };
        while let Some(line) = state.urgent.pop_front_if(|line| batch.takes(line)) {
            batch.add(line);
        }
        while let Some(line) = state.lines.pop_front_if(|line| batch.takes(line)) {
            batch.add(line);
        }
        state.writing = (!batch.lines.is_empty()).then(|| (batch.lines.len(), Instant::now()));
        Some(batch)
    }

    /// Records that the lines of `batch` were handed to the operating system.
    pub(super) fn written(&self, batch: Batch) {
        self.lock().leave(&batch, None);
        for receipt in batch.lines.into_iter().filter_map(|line| line.receipt) {
            // An error means that nobody waits any more.
            let _ = receipt.send(());
        }
    }

    /// Records that the lines of `batch` are lost, since writing them failed with `error`.
    pub(super) fn lost(&self, batch: Batch, error: String) {
        self.lock().leave(&batch, Some(error));
        drop(batch);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.lines.is_empty()
    }

    /// Returns whether no line can come any more. One with a reservation still can after the queue was closed.
    fn is_over(&self) -> bool {
        self.closed && self.reserved == 0
    }

    /// Returns whether the lines must be written without waiting for more.
    fn is_hurried(&self) -> bool {
        !self.urgent.is_empty() || self.reopen || self.closed || self.bytes >= BATCH
    }

    fn leave(&mut self, batch: &Batch, error: Option<String>) {
        (self.writing, self.error) = (None, error);
        for Line { share, cost, .. } in &batch.lines {
            self.bytes -= cost;
            let Some(of) = share else { continue };
            if let Some(bytes) = self.shares.get_mut(of) {
                *bytes -= cost;
                if *bytes == 0 {
                    self.shares.remove(of);
                }
            }
        }
    }
}

impl Batch {
    fn takes(&self, line: &Line) -> bool {
        self.lines.is_empty() || self.bytes + line.cost < BATCH
    }

    fn add(&mut self, line: Line) {
        self.bytes += line.cost;
        self.lines.push(line);
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The text of the lines, each after its preface unless generation `output` has that already.
    pub(super) fn text(&self, output: u64) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.bytes);
        for line in &self.lines {
            let preface = line.preface.as_ref().filter(|preface| preface.enter(output));
            for part in preface.map(|preface| &preface.text).into_iter().chain([&line.text]) {
                text.extend_from_slice(part);
                text.push(b'\n');
            }
        }
        text
    }
}

impl Reservation {
    pub(super) fn reserve(queue: &Arc<Queue>, bytes: usize) -> Result<Self, Full> {
        let bytes = cost(bytes);
        let mut state = queue.lock();
        // Reservations have a separate bound, so they take no room from other lines.
        if state.closed || state.reserved + bytes > queue.capacity {
            return Err(Full);
        }
        state.reserved += bytes;
        drop(state);
        Ok(Self { queue: queue.clone(), bytes })
    }

    /// Queues the line that the room was reserved for; a longer one may exceed the capacity.
    pub fn push(self, text: Vec<u8>) {
        self.queue.queue(self.queue.lock(), Line::new(text), true);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.reserved -= self.bytes;
        let over = state.is_over();
        drop(state);
        if over {
            self.queue.wake.notify_one();
        }
    }
}
