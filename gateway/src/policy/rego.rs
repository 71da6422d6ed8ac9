//! Rego policies, compiled by `opa build -t wasm`, over OPA's WebAssembly ABI 1.2.
//!
//! Every evaluation gets a store, an instance and a memory of its own, so a module keeps nothing from one request to
//! the next. The memory begins as a copy of one that has read the module's data. See <https://www.openpolicyagent.org/docs/wasm> for the ABI.

mod abi;
mod answer;
mod builtins;
mod code;
mod complexity;
mod deadline;
mod host;
mod quote;
mod snapshot;
mod split;
mod sprintf;
mod term;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use self::abi::Guest;
use self::builtins::Builtin;
pub use self::builtins::{Unavailable, capabilities, in_host as host_builtins, page as builtins_page};
pub(super) use self::code::Code;
pub use self::complexity::ComplexityError;
pub(super) use self::complexity::cost;
pub(super) use self::deadline::worked;
pub(super) use self::snapshot::MOST as MOST_INITIAL_BYTES;
use self::snapshot::Snapshot;
use super::budget::Budget;
use super::document::Verdict;
use super::engine::Engine;

/// The rule that a module answers with.
const ENTRYPOINT: &str = "scalegate/verdict";

/// How long a module may take to read its data, once.
const READ_DATA: Duration = Duration::from_secs(1);

/// How often a module may run out of time before it is refused at load.
pub(super) const AT_LOAD: u32 = 3;

/// How often a module may run out of time in one decision before there is no verdict.
const IN_A_DECISION: u32 = 2;

/// Why a module cannot be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The bytes are no WebAssembly module, or one with features that the gateway does not run.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// It asks the host for something else than OPA's ABI has.
    #[error("it imports {0}, which is not in OPA's ABI; build it with `opa build -t wasm`")]
    Import(String),
    /// It cannot even be asked what it is.
    #[error("it does not start: {0}")]
    Start(#[source] EvalError),
    /// It has a memory that the host cannot prepare.
    #[error("it brings a memory instead of importing env.memory; build it with `opa build -t wasm`")]
    Memory,
    /// Its memory begins with what only an instance can compute.
    #[error("it has data at a computed address; build it with `opa build -t wasm`")]
    Data,
    /// It has several tables.
    #[error("it has {0} tables, and may have one; build it with `opa build -t wasm`")]
    Tables(u32),
    /// It has mutable globals that the host cannot keep.
    #[error("it has mutable globals of references, or more than 64 of numbers; build it with `opa build -t wasm`")]
    Globals,
    /// Its memory begins with too much.
    #[error("with its data, its memory begins with {bytes} bytes: {most} at most")]
    Snapshot {
        /// How much.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// It cannot read its data.
    #[error("it does not read its data and settings: {0}")]
    ReadData(#[source] EvalError),
    /// It is of another version of the ABI.
    #[error("it is of version {major}.{minor} of OPA's ABI, not of 1.2 or a later 1.x; build it with a newer opa")]
    Version {
        /// The major version.
        major: i32,
        /// The minor version.
        minor: i32,
    },
    /// It has no rule to ask.
    #[error("it has no entrypoint {ENTRYPOINT}, only {}; build it with `-e {ENTRYPOINT}`", listed(available))]
    Entrypoint {
        /// The entrypoints that it has.
        available: Vec<String>,
    },
    /// Compiling it would take too much.
    #[error(transparent)]
    Complexity(#[from] ComplexityError),
    /// It calls functions that the host does not have.
    #[error("it calls builtins that the gateway does not have: {}", reasons(.0))]
    Builtins(Vec<Unavailable>),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

fn reasons(unavailable: &[Unavailable]) -> String {
    unavailable.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why an evaluation gave no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
    /// It took too long.
    #[error("it took longer than its deadline of {0:?}")]
    Deadline(Duration),
    /// It wanted too much memory.
    #[error("it wanted more memory than its {0} bytes")]
    Memory(usize),
    /// Its answer, or a value that passed between it and a builtin, was too long.
    #[error("it gave or was given more than its {0} bytes of output")]
    Output(usize),
    /// It did what WebAssembly forbids.
    #[error("it trapped: {0}")]
    Trap(String),
    /// It gave up.
    #[error("it aborted: {0}")]
    Abort(String),
    /// It does not speak OPA's ABI.
    #[error("it breaks OPA's ABI: {0}")]
    Abi(String),
    /// It asked a builtin for something that the gateway's form of it cannot do.
    #[error("it used what the gateway does not have: {0}")]
    Unsupported(String),
    /// The rule has no value for this input.
    #[error("{ENTRYPOINT} is undefined for this input")]
    Undefined,
    /// The rule's value is not a valid verdict.
    #[error("its answer is not a valid verdict: {problem}")]
    Malformed {
        /// What is wrong with it.
        problem: String,
        /// The beginning of it. It may repeat what the module was given, so it is for those who may read that.
        answer: String,
    },
    /// The gateway's own code panicked, in a builtin for instance.
    #[error("the gateway panicked while evaluating it, which is a bug of the gateway: {0}")]
    Panic(String),
}

/// A verdict, and how it came about.
#[derive(Debug)]
pub struct Evaluation {
    /// What the module said.
    pub verdict: Verdict,
    /// Whether it asked for the time. If not, the verdict is a function of the input alone.
    pub asked_time: bool,
    /// The linear memory that it ended with, in bytes.
    pub memory_bytes: usize,
}

/// A compiled and checked module with its data.
pub struct Module {
    code: Code,
    builtins: Arc<BTreeMap<i32, Builtin>>,
    entrypoint: i32,
    budget: Budget,
    snapshot: Snapshot,
}

impl Module {
    /// Compiles `wasm` and asks the module what it needs and what it has, within `budget`. `data` is the JSON document
    /// that it will see as `data`.
    ///
    /// Compiling takes some hundred milliseconds: call it off the request path.
    pub fn load(engine: &Engine, wasm: &[u8], budget: Budget, data: &[u8]) -> Result<Self, LoadError> {
        cost(wasm)?;
        Self::of(&Code::compile(engine, wasm)?, budget, data)
    }

    /// As [`Module::load`], of code that was compiled before.
    pub(super) fn of(code: &Code, budget: Budget, data: &[u8]) -> Result<Self, LoadError> {
        let answers = introduce(code, budget).map_err(LoadError::Start)?;
        let (major, minor) = answers.version;
        if major != 1 || minor < 2 {
            return Err(LoadError::Version { major, minor });
        }
        let builtins = Arc::new(builtins::resolve(answers.builtins).map_err(LoadError::Builtins)?);
        let entrypoint = choose(answers.entrypoints)?;
        let snapshot = prepare(code, budget, data)?;
        Ok(Self { code: code.clone(), builtins, entrypoint, budget, snapshot })
    }

    /// Asks the module about `input`, a JSON document, as of `now`.
    ///
    /// A panic on the way is an error like the others: whoever asked gets an answer, and the decision its record.
    pub fn evaluate(&self, input: &[u8], now: Timestamp) -> Result<Evaluation, EvalError> {
        // Nothing that the closure changes outlives it but counters of the engine.
        let evaluated = panic::catch_unwind(AssertUnwindSafe(|| self.ask(input, now)));
        evaluated.unwrap_or_else(|payload| {
            let cause = panic_message(payload.as_ref());
            tracing::error!(cause, "evaluating a policy module panicked");
            Err(EvalError::Panic(cause.to_owned()))
        })
    }

    /// As [`Module::evaluate`], and once more in a fresh instance if the time ran out: where the host of a virtual machine
    /// lends a processor to others, that counts as work of the thread that was on it.
    pub(super) fn decide(&self, input: &[u8], now: Timestamp) -> Result<Evaluation, EvalError> {
        in_time(IN_A_DECISION, || self.evaluate(input, now))
    }

    fn ask(&self, input: &[u8], now: Timestamp) -> Result<Evaluation, EvalError> {
        let mut guest = Guest::resume(&self.code, &self.snapshot, self.builtins.clone(), self.budget, now)?;
        let results = guest.evaluate(self.entrypoint, self.snapshot.data, input)?;
        let memory_bytes = guest.memory().len();
        Ok(Evaluation { verdict: answer::verdict(&results)?, asked_time: guest.asked_time(), memory_bytes })
    }

    /// The names of the builtins that it asks the host for.
    pub fn host_builtins(&self) -> impl Iterator<Item = &'static str> {
        self.builtins.values().map(|builtin| builtin.name)
    }

    /// How many bytes its compiled code has.
    pub(super) fn code_bytes(&self) -> u64 {
        self.code.bytes()
    }

    /// How many bytes of memory each evaluation begins with.
    pub(super) fn initial_bytes(&self) -> usize {
        self.snapshot.bytes
    }

    /// What an evaluation may use.
    pub(super) fn budget(&self) -> Budget {
        self.budget
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("builtins", &self.builtins).field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// What a module says about itself.
struct Introduction {
    version: (i32, i32),
    builtins: BTreeMap<String, i32>,
    entrypoints: BTreeMap<String, i32>,
}

/// Asks a module about itself within its budget, again if its time ran out: a machine that is busy just now must not
/// make a good module a bad one.
fn introduce(code: &Code, budget: Budget) -> Result<Introduction, EvalError> {
    in_time(AT_LOAD, || {
        let mut guest = Guest::start(code, Arc::default(), budget, Timestamp::UNIX_EPOCH)?;
        let version = guest.version()?;
        Ok(Introduction { version, builtins: guest.builtins()?, entrypoints: guest.entrypoints()? })
    })
}

/// Starts an instance and lets it read `data`, for which it has more time than a decision has.
fn prepare(code: &Code, budget: Budget, data: &[u8]) -> Result<Snapshot, LoadError> {
    let budget = Budget { deadline: budget.deadline.max(READ_DATA), ..budget };
    let mut guest = Guest::start(code, Arc::default(), budget, Timestamp::UNIX_EPOCH).map_err(LoadError::Start)?;
    let data = guest.parse(data).map_err(LoadError::ReadData)?;
    Snapshot::of(code, &mut guest, data)
}

/// Repeats `attempt` while it runs out of time; it is made `most` times at most.
pub(super) fn in_time<T>(most: u32, attempt: impl Fn() -> Result<T, EvalError>) -> Result<T, EvalError> {
    let mut outcome = attempt();
    for _ in 1..most {
        if !matches!(outcome, Err(EvalError::Deadline(_))) {
            break;
        }
        outcome = attempt();
    }
    outcome
}

fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn choose(available: BTreeMap<String, i32>) -> Result<i32, LoadError> {
    match available.get(ENTRYPOINT) {
        Some(id) => Ok(*id),
        None => Err(LoadError::Entrypoint { available: available.into_keys().collect() }),
    }
}
