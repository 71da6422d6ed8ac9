//! The WebAssembly engine that all modules share, and the thread that moves its clock.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use wasmtime::{Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::budget::MOST_MEMORY_BYTES;
use super::rego::MOST_INITIAL_BYTES;
use crate::priority::yield_to_requests;

/// The priority of threads that compile: the lowest.
const COMPILING: i32 = 19;

/// How long an epoch lasts: the resolution of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// After how many ticks without an evaluation the clock parks until the next one.
const QUIET: u32 = 1000;

/// How many evaluations may run at once: more than there are threads and slots.
const EVALUATIONS: u32 = 32;

/// How many bytes of a memory or table are reset by overwriting them. Pages beyond go back to the system.
const KEPT_BYTES: usize = 1 << 20;

/// How many elements a module's table may have: more than any compiled policy's function table.
pub(super) const TABLE_ELEMENTS: usize = 10_000;

/// The engine could not be started.
#[derive(Debug, Error)]
pub enum EngineError {
    /// This machine does not support the engine's configuration.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// Compiled modules cannot be kept in the directory.
    #[error("policies.compiledDirectory: {directory} cannot be used: {cause}", directory = .directory.display())]
    Compiled {
        /// The directory.
        directory: PathBuf,
        /// Why.
        cause: String,
    },
    /// The thread that moves its clock did not start.
    #[error("the thread of the WebAssembly engine's clock does not start")]
    EpochThread(#[source] io::Error),
}

/// Whether an engine's evaluations end at their deadline and within their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metering {
    On,
    Off,
}

/// Compiles and runs modules. Clones share one engine; the last one to go ends its thread.
#[derive(Debug, Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    /// `None` for one that does not meter.
    epochs: Option<Arc<EpochThread>>,
}

impl Engine {
    /// Starts an engine that compiles each module anew.
    pub fn new() -> Result<Self, EngineError> {
        Self::start(None, Metering::On)
    }

    /// Starts an engine whose evaluations have neither deadline nor bound of memory, to measure what those cost: nothing
    /// ends a module that loops.
    pub fn unmetered() -> Result<Self, EngineError> {
        Self::start(None, Metering::Off)
    }

    /// Starts an engine that keeps compiled modules in a directory of its own below `directory`, and finds them there by
    /// their digest and by the compiler's version and settings. The engine runs what lies there: nobody else may write
    /// to it.
    pub fn keeping_compiled(directory: &Path) -> Result<Self, EngineError> {
        let unusable = |cause: String| EngineError::Compiled { directory: directory.to_owned(), cause };
        let own = own_directory(directory).map_err(|error| unusable(error.to_string()))?;
        // The cache itself would only log that it cannot write.
        tempfile::tempfile_in(&own).map_err(|error| unusable(error.to_string()))?;
        let mut settings = CacheConfig::new();
        settings.with_directory(own);
        Self::start(Some(Cache::new(settings).map_err(|error| unusable(format!("{error:#}")))?), Metering::On)
    }

    fn start(compiled: Option<Cache>, metering: Metering) -> Result<Self, EngineError> {
        let mut config = Config::new();
        config.epoch_interruption(metering == Metering::On);
        // Verdicts are functions of their input, on every machine.
        config.cranelift_nan_canonicalization(true);
        config.wasm_relaxed_simd(false);
        // Nothing that a policy compiler emits.
        config.wasm_memory64(false).wasm_multi_memory(false);
        // A trap is told by its cause; collecting frames costs time in every one.
        config.wasm_backtrace_max_frames(None);
        // Whatever an evaluation may begin with is mapped, not copied.
        config.memory_guaranteed_dense_image_size(MOST_INITIAL_BYTES as u64 + 1);
        config.cache(compiled);
        let wasm = pooling(&mut config)?;
        let epochs = match metering {
            Metering::On => Some(Arc::new(EpochThread::start(wasm.clone()).map_err(EngineError::EpochThread)?)),
            Metering::Off => None,
        };
        Ok(Self { wasm, epochs })
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// Marks an evaluation as running, which keeps the clock going until the guard is dropped. `None` where evaluations
    /// are not metered.
    pub(super) fn running(&self) -> Option<Running> {
        self.epochs.as_ref().map(|epochs| epochs.running())
    }

    /// Compiles a module on one thread, of the lowest priority: requests come first.
    pub(super) fn compile(&self, wasm: &[u8]) -> wasmtime::Result<wasmtime::Module> {
        let compile = || {
            yield_to_requests(COMPILING);
            wasmtime::Module::from_binary(&self.wasm, wasm)
        };
        thread::scope(|scope| scope.spawn(compile).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// An engine with a pool of memories and tables. Where address space is limited, it allocates them for each evaluation
/// instead.
fn pooling(config: &mut Config) -> Result<wasmtime::Engine, EngineError> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(2 * EVALUATIONS).total_memories(EVALUATIONS).total_tables(EVALUATIONS);
    pool.max_memory_size(MOST_MEMORY_BYTES).table_elements(TABLE_ELEMENTS);
    pool.linear_memory_keep_resident(KEPT_BYTES).table_keep_resident(KEPT_BYTES).pagemap_scan(Enabled::Auto);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(config).or_else(|error| {
        tracing::warn!(%error, "no address space for a pool of instances: evaluations take longer");
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        wasmtime::Engine::new(config).map_err(|error| EngineError::Engine(error.to_string()))
    })
}

/// The directory that only this program writes to. The cache removes whatever it does not know in it.
fn own_directory(directory: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(directory)?;
    let own = directory.join("scalegate-compiled");
    match DirBuilder::new().mode(0o700).create(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = own.symlink_metadata()?;
    if !found.is_dir() {
        return Err(io::Error::other("scalegate-compiled in it is not a directory"));
    }
    if found.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write to scalegate-compiled in it"));
    }
    Ok(own)
}

/// The thread that increments the epoch, while evaluations run and for [`QUIET`] ticks after. Dropping it ends and joins
/// the thread.
#[derive(Debug)]
struct EpochThread {
    clock: Arc<Clock>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread looks at.
#[derive(Debug, Default)]
struct Clock {
    /// How many evaluations run.
    running: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// A running evaluation. The clock does not park while one exists.
#[derive(Debug)]
pub(super) struct Running(Arc<Clock>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Clock {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut quiet = 0;
        while !self.stopped.load(SeqCst) {
            thread::park_timeout(TICK);
            engine.increment_epoch();
            quiet = if self.running.load(SeqCst) > 0 { 0 } else { quiet + 1 };
            if quiet >= QUIET {
                self.parked.store(true, SeqCst);
                // An evaluation that begins from here on sees `parked` and wakes this thread.
                while self.running.load(SeqCst) == 0 && !self.stopped.load(SeqCst) {
                    thread::park();
                }
                self.parked.store(false, SeqCst);
                quiet = 0;
            }
        }
    }
}

impl EpochThread {
    fn start(engine: wasmtime::Engine) -> io::Result<Self> {
        let clock = Arc::<Clock>::default();
        let shared = clock.clone();
        let thread = thread::Builder::new().name("policy-clock".to_owned()).spawn(move || shared.run(&engine))?;
        Ok(Self { clock, thread: Some(thread) })
    }

    fn running(&self) -> Running {
        self.clock.running.fetch_add(1, SeqCst);
        if self.clock.parked.load(SeqCst) {
            self.wake();
        }
        Running(self.clock.clone())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for EpochThread {
    fn drop(&mut self) {
        self.clock.stopped.store(true, SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the policy engine's clock panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// The files in `directory` and below.
    fn files(directory: &Path) -> usize {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }

    #[test]
    fn a_module_that_was_compiled_before_is_found_again_by_another_engine() {
        let directory = tempfile::tempdir().unwrap();
        let wasm = wat::parse_str("(module (func (export \"f\") (result i32) i32.const 7))").unwrap();
        Engine::keeping_compiled(directory.path()).unwrap().compile(&wasm).unwrap();
        let kept = files(directory.path());
        assert!(kept > 0, "nothing is kept");

        let mut settings = CacheConfig::new();
        settings.with_directory(directory.path().join("scalegate-compiled"));
        let cache = Cache::new(settings).unwrap();
        let engine = Engine::start(Some(cache.clone()), Metering::On).unwrap();
        engine.compile(&wasm).unwrap();
        assert_eq!((cache.cache_hits(), cache.cache_misses()), (1, 0));
    }

    #[test]
    fn what_else_lies_in_the_directory_stays_and_nobody_else_may_write_to_the_compiled_modules() {
        let directory = tempfile::tempdir().unwrap();
        let theirs = directory.path().join("policies.yaml");
        std::fs::write(&theirs, "modules: []").unwrap();
        drop(Engine::keeping_compiled(directory.path()).unwrap());
        assert!(theirs.exists());

        let own = directory.path().join("scalegate-compiled");
        std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(Engine::keeping_compiled(directory.path()).unwrap_err().to_string().contains("others may write"));
        std::fs::remove_dir_all(&own).unwrap();
        std::os::unix::fs::symlink("/tmp", &own).unwrap();
        assert!(Engine::keeping_compiled(directory.path()).unwrap_err().to_string().contains("not a directory"));
    }

    #[test]
    fn a_directory_that_cannot_keep_modules_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Engine::keeping_compiled(&file.path().join("compiled")).unwrap_err().to_string();
        assert!(
            error.starts_with("policies.compiledDirectory: ") && error.contains("compiled cannot be used"),
            "{error}"
        );
    }

    #[test]
    fn the_clock_stops_when_nothing_runs_and_goes_on_with_the_next_evaluation() {
        let engine = Engine::new().unwrap();
        let clock = engine.epochs.as_ref().unwrap().clock.clone();
        let becomes = |parked: bool| {
            while clock.parked.load(SeqCst) != parked {
                thread::sleep(TICK);
            }
        };
        becomes(true);
        for _ in 0..100 {
            let running = engine.running();
            becomes(false);
            assert!(!clock.parked.load(SeqCst));
            drop(running);
        }
        becomes(true);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn compiling_takes_what_requests_leave_and_changes_no_other_thread() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let while_compiling = thread::spawn(move || {
            yield_to_requests(COMPILING);
            priority()
        });
        assert_eq!((while_compiling.join().unwrap(), priority()), (19, before));
    }
}
