//! The queue between the producers of lines and the thread that writes them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tokio::sync::oneshot;

/// The most that is written at once, in bytes, unless a single line is longer.
const BATCH: usize = 256 << 10;
/// What a queued line costs beside its text.
const OVERHEAD: usize = 64;

/// There is no room for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is full")]
pub struct Full;

/// A line was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the line could not be written")]
pub struct Lost;

/// The fate of one line.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

impl Receipt {
    /// Waits until the line is handed to the operating system.
    ///
    /// # Errors
    ///
    /// [`Lost`]: writing it failed, and it will not be tried again.
    pub async fn written(self) -> Result<(), Lost> {
        self.0.await.map_err(|_| Lost)
    }
}

/// Room that is kept for a line. Dropping it gives the room back.
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
    /// How often the output's file was reopened or lost lines.
    breaks: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Lines that somebody waits for, and those of places: they are written first.
    urgent: VecDeque<Line>,
    lines: VecDeque<Line>,
    /// Of the lines that wait or are being written.
    bytes: usize,
    /// Of the reservations.
    reserved: usize,
    /// Of the lines that wait or are being written, by whom they are about.
    shares: HashMap<Arc<str>, usize>,
    reopen: bool,
    closed: bool,
}

#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    receipt: Option<oneshot::Sender<()>>,
    /// Whose share of the queue it takes.
    share: Option<Arc<str>>,
}

/// Lines that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: usize,
    /// Whether to reopen the file first.
    pub(super) reopen: bool,
    receipts: Vec<oneshot::Sender<()>>,
    cost: usize,
    shares: Vec<(Arc<str>, usize)>,
}

impl Line {
    fn cost(&self) -> usize {
        cost(self.text.len())
    }
}

fn cost(bytes: usize) -> usize {
    bytes + OVERHEAD
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), capacity, breaks: AtomicU64::new(0) }
    }

    pub(super) fn push(&self, text: Vec<u8>) -> Result<(), Full> {
        self.add(Line { text, receipt: None, share: None }, self.capacity - self.capacity / 4)
    }

    pub(super) fn push_shared(&self, text: Vec<u8>, of: &str) -> Result<(), Full> {
        let mut state = self.lock();
        let share = state.shares.get_key_value(of).map_or((Arc::from(of), 0), |(of, bytes)| (of.clone(), *bytes));
        let line = Line { text, receipt: None, share: Some(share.0.clone()) };
        let (bytes, cost) = (share.1 + line.cost(), line.cost());
        if state.closed || bytes > self.capacity / 4 || state.bytes + cost > self.capacity - self.capacity / 4 {
            return Err(Full);
        }
        state.shares.insert(share.0, bytes);
        self.queue(state, line, false);
        Ok(())
    }

    pub(super) fn push_with_receipt(&self, text: Vec<u8>) -> Result<Receipt, Full> {
        let (sender, receiver) = oneshot::channel();
        self.add(Line { text, receipt: Some(sender), share: None }, self.capacity)?;
        Ok(Receipt(receiver))
    }

    fn add(&self, line: Line, limit: usize) -> Result<(), Full> {
        let state = self.lock();
        if state.closed || state.bytes + line.cost() > limit {
            return Err(Full);
        }
        let urgent = line.receipt.is_some();
        self.queue(state, line, urgent);
        Ok(())
    }

    fn queue(&self, mut state: MutexGuard<'_, State>, line: Line, urgent: bool) {
        let idle = state.is_empty();
        state.bytes += line.cost();
        if urgent { &mut state.urgent } else { &mut state.lines }.push_back(line);
        drop(state);
        if idle {
            self.wake.notify_one();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn breaks(&self) -> u64 {
        self.breaks.load(Ordering::Relaxed)
    }

    pub(super) fn broken(&self) {
        self.breaks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.wake.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Waits for lines, or for a request to reopen the file; `None` once the queue is closed and empty.
    pub(super) fn next(&self) -> Option<Batch> {
        let waiting = |state: &mut State| state.is_empty() && !state.closed && !state.reopen;
        let mut state = self.wake.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        if state.is_empty() && !state.reopen {
            return None;
        }
        let mut batch = Batch {
            bytes: Vec::new(),
            lines: 0,
            reopen: std::mem::take(&mut state.reopen),
            receipts: Vec::new(),
            cost: 0,
            shares: Vec::new(),
        };
        while let Some(line) = state.urgent.pop_front_if(|line| batch.takes(line)) {
            batch.add(line);
        }
        while let Some(line) = state.lines.pop_front_if(|line| batch.takes(line)) {
            batch.add(line);
        }
        Some(batch)
    }

    /// The lines of `batch` are with the operating system.
    pub(super) fn written(&self, batch: Batch) {
        self.lock().leave(&batch);
        for receipt in batch.receipts {
            // Nobody waits for it any more.
            let _ = receipt.send(());
        }
    }

    /// The lines of `batch` are gone.
    pub(super) fn lost(&self, batch: Batch) {
        self.lock().leave(&batch);
        self.broken();
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

    fn leave(&mut self, batch: &Batch) {
        self.bytes -= batch.cost;
        for (of, cost) in &batch.shares {
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
        self.lines == 0 || self.bytes.len() + line.text.len() < BATCH
    }

    fn add(&mut self, line: Line) {
        let cost = line.cost();
        self.cost += cost;
        self.shares.extend(line.share.map(|of| (of, cost)));
        self.bytes.extend_from_slice(&line.text);
        self.bytes.push(b'\n');
        self.lines += 1;
        self.receipts.extend(line.receipt);
    }
}

impl Reservation {
    pub(super) fn reserve(queue: &Arc<Queue>, bytes: usize) -> Result<Self, Full> {
        let bytes = cost(bytes);
        let mut state = queue.lock();
        // Reservations have a separate bound: many of them take no room from the lines of other clients.
        if state.closed || state.reserved + bytes > queue.capacity {
            return Err(Full);
        }
        state.reserved += bytes;
        drop(state);
        Ok(Self { queue: queue.clone(), bytes })
    }

    /// Queues the line that the room was reserved for; a longer one may exceed the capacity.
    pub fn push(self, text: Vec<u8>) {
        self.queue.queue(self.queue.lock(), Line { text, receipt: None, share: None }, true);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.queue.lock().reserved -= self.bytes;
    }
}
