//! The WebAssembly engine that all modules share, and the thread that moves its clock.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;

/// How long an epoch lasts: the resolution of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The engine could not be started.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The configuration suits this machine not.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// The thread that moves its clock did not start.
    #[error("the thread of the WebAssembly engine's clock does not start")]
    Clock(#[source] io::Error),
}

/// Compiles and runs modules. Clones share one engine; the last one to go ends its thread.
#[derive(Debug, Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    _clock: Arc<Clock>,
}

impl Engine {
    /// Starts an engine.
    pub fn new() -> Result<Self, EngineError> {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        // Verdicts are functions of their input, on every machine.
        config.cranelift_nan_canonicalization(true);
        config.wasm_relaxed_simd(false);
        // Nothing that a policy compiler emits.
        config.wasm_memory64(false).wasm_multi_memory(false);
        // A trap is told by its cause; collecting frames costs time in every one.
        config.wasm_backtrace_max_frames(None);
        let wasm = wasmtime::Engine::new(&config).map_err(|error| EngineError::Engine(error.to_string()))?;
        let clock = Arc::new(Clock::start(wasm.clone()).map_err(EngineError::Clock)?);
        Ok(Self { wasm, _clock: clock })
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }
}

/// The thread that increments the epoch. Dropping it ends and joins the thread.
#[derive(Debug)]
struct Clock {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(engine: wasmtime::Engine) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let tick = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        };
        let thread = thread::Builder::new().name("policy-clock".to_owned()).spawn(tick)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the policy engine's clock panicked");
        }
    }
}
