//! The host's side of one evaluation: its limits, and the functions that a module imports.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use wasmtime::error::Context;
use wasmtime::{Caller, Extern, ExternType, Linker, Memory, MemoryType, ResourceLimiter, Store};

use super::abi::{self, Exports};
use super::builtins::{self, Builtin, Context as BuiltinContext};
use super::deadline::Deadline;
use super::{EvalError, LoadError};
use crate::policy::budget::Budget;
use crate::policy::engine::{Engine, Running, TABLE_ELEMENTS};

/// How many bytes of a module's abort message are kept.
const MESSAGE_BYTES: usize = 512;

/// The state of one evaluation.
pub(super) struct Host {
    pub(super) budget: Budget,
    /// What builtins may know and use.
    pub(super) context: BuiltinContext,
    pub(super) builtins: Arc<BTreeMap<i32, Builtin>>,
    pub(super) memory: Option<Memory>,
    /// Set once the instance exists: its `start` runs without.
    pub(super) exports: Option<Arc<Exports>>,
    /// The clock goes on for as long as it is there. `None` without limits.
    running: Option<Running>,
}

impl Host {
    pub(super) fn new(budget: Budget, now: Timestamp, builtins: Arc<BTreeMap<i32, Builtin>>, engine: &Engine) -> Self {
        let running = engine.running();
        let deadline = if running.is_some() { Deadline::after(budget.deadline) } else { Deadline::never() };
        let context = BuiltinContext::new(budget.output_bytes, deadline, now);
        Self { budget, context, builtins, memory: None, exports: None, running }
    }

    /// Returns whether the evaluation has a deadline and a bound of memory.
    pub(super) fn is_metered(&self) -> bool {
        self.running.is_some()
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // An error ends the evaluation at once and says why; `false` would leave that to the module.
        if desired > self.budget.memory_bytes {
            return Err(EvalError::Memory(self.budget.memory_bytes).into());
        }
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(EvalError::Trap(format!("a table of {desired} elements is too large")).into());
        }
        Ok(true)
    }

    /// The code, and the memory that it begins with.
    fn instances(&self) -> usize {
        2
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}

/// What a module imports, in its order.
pub(super) struct Imports {
    linker: Linker<Host>,
    wanted: Vec<Import>,
    /// The type of the memory; `None` for a module without one.
    pub(super) memory: Option<MemoryType>,
}

enum Import {
    Function(String),
    Memory,
}

impl Imports {
    pub(super) fn of(engine: &Engine, module: &wasmtime::Module) -> Result<Self, LoadError> {
        let linker = linker(engine).map_err(|error| LoadError::Compile(error.to_string()))?;
        let (mut wanted, mut memory) = (Vec::new(), None);
        for import in module.imports() {
            let full_name = || LoadError::Import(format!("{}.{}", import.module(), import.name()));
            wanted.push(match (import.module(), import.name(), import.ty()) {
                ("env", "memory", ExternType::Memory(wanted)) => {
                    memory = Some(wanted);
                    Import::Memory
                }
                ("env", name, ExternType::Func(_)) if FUNCTIONS.contains(&name) => Import::Function(name.to_owned()),
                _ => return Err(full_name()),
            });
        }
        Ok(Self { linker, wanted, memory })
    }

    /// The imports within `store`, with its memory.
    pub(super) fn within(&self, store: &mut Store<Host>) -> wasmtime::Result<Vec<Extern>> {
        let memory = store.data().memory;
        self.wanted
            .iter()
            .map(|import| match import {
                Import::Function(name) => self.linker.get(&mut *store, "env", name),
                Import::Memory => memory.map(Extern::from).context("it has no memory"),
            })
            .collect()
    }
}

const FUNCTIONS: [&str; 7] =
    ["opa_abort", "opa_println", "opa_builtin0", "opa_builtin1", "opa_builtin2", "opa_builtin3", "opa_builtin4"];

/// The second argument of each builtin, a context, is reserved by the ABI.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine.wasm());
    linker.func_wrap("env", "opa_abort", abort)?;
    linker.func_wrap("env", "opa_println", println)?;
    linker.func_wrap("env", "opa_builtin0", |caller: Caller<'_, Host>, id: i32, _: i32| {
        builtins::call(caller, id, &[])
    })?;
    linker.func_wrap("env", "opa_builtin1", |caller: Caller<'_, Host>, id: i32, _: i32, a: i32| {
        builtins::call(caller, id, &[a])
    })?;
    linker.func_wrap("env", "opa_builtin2", |caller: Caller<'_, Host>, id: i32, _: i32, a: i32, b: i32| {
        builtins::call(caller, id, &[a, b])
    })?;
    linker.func_wrap("env", "opa_builtin3", |caller: Caller<'_, Host>, id: i32, _: i32, a: i32, b: i32, c: i32| {
        builtins::call(caller, id, &[a, b, c])
    })?;
    linker.func_wrap(
        "env",
        "opa_builtin4",
        |caller: Caller<'_, Host>, id: i32, _: i32, a: i32, b: i32, c: i32, d: i32| {
            builtins::call(caller, id, &[a, b, c, d])
        },
    )?;
    Ok(linker)
}

#[expect(clippy::needless_pass_by_value, reason = "wasmtime hands it over")]
fn abort(caller: Caller<'_, Host>, message: i32) -> wasmtime::Result<()> {
    Err(EvalError::Abort(words(&caller, message)).into())
}

#[expect(clippy::needless_pass_by_value, reason = "wasmtime hands it over")]
fn println(caller: Caller<'_, Host>, message: i32) {
    tracing::trace!(message = words(&caller, message), "a policy module printed");
}

/// The beginning of a text of the module's; its length is bounded, for it comes from a module in trouble.
fn words(caller: &Caller<'_, Host>, address: i32) -> String {
    let Some(memory) = caller.data().memory else { return String::new() };
    let (text, _) = abi::text_at(memory.data(caller), address, MESSAGE_BYTES);
    String::from_utf8_lossy(text).into_owned()
}
