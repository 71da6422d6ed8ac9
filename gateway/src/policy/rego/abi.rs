//! The guest's side of OPA's ABI: one instance and the functions that it exports.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use wasmtime::{
    AsContext, AsContextMut, Extern, Instance, Memory, ModuleExport, Store, Trap, TypedFunc, UpdateDeadline, Val,
    WasmParams, WasmResults,
};

use super::EvalError;
use super::builtins::Builtin;
use super::code::Code;
use super::host::Host;
use super::snapshot::Snapshot;
use super::split::START;
use crate::policy::budget::Budget;

/// `opa_eval`'s argument for a result set as JSON.
const AS_JSON: i32 = 0;

/// `opa_eval(reserved, entrypoint, data, input, input length, heap pointer, format)`, the one-shot evaluation.
type OpaEval = TypedFunc<(i32, i32, i32, i32, i32, i32, i32), i32>;

/// An address in the guest's memory.
pub(super) type Address = i32;

/// A running instance.
pub(super) struct Guest {
    store: Store<Host>,
    instance: Instance,
    exports: Arc<Exports>,
}

/// What the host calls in an instance. A function's type is registered with the engine, so a copy of this is not cheap.
pub(super) struct Exports {
    memory: Memory,
    malloc: TypedFunc<i32, Address>,
    heap_ptr_get: TypedFunc<(), Address>,
    value_parse: TypedFunc<(Address, i32), Address>,
    value_dump: TypedFunc<Address, Address>,
    eval: OpaEval,
}

/// Where a module's exports are.
pub(super) struct ExportIndices {
    memory: ModuleExport,
    malloc: ModuleExport,
    heap_ptr_get: ModuleExport,
    value_parse: ModuleExport,
    value_dump: ModuleExport,
    eval: ModuleExport,
}

impl ExportIndices {
    /// An error is the name of an export that is missing.
    pub(super) fn of(module: &wasmtime::Module) -> Result<Self, &'static str> {
        let index = |name: &'static str| module.get_export_index(name).ok_or(name);
        Ok(Self {
            memory: index("memory")?,
            malloc: index("opa_malloc")?,
            heap_ptr_get: index("opa_heap_ptr_get")?,
            value_parse: index("opa_value_parse")?,
            value_dump: index("opa_value_dump")?,
            eval: index("opa_eval")?,
        })
    }
}

impl Guest {
    /// Makes an instance and runs its start function. The budget's time begins here.
    pub(super) fn start(
        code: &Code,
        builtins: Arc<BTreeMap<i32, Builtin>>,
        budget: Budget,
        now: Timestamp,
    ) -> Result<Self, EvalError> {
        let mut store = store(code, builtins, budget, now);
        if let Some(memory_type) = &code.imports().memory {
            let memory = Memory::new(&mut store, memory_type.clone()).map_err(cause)?;
            for (address, bytes) in code.data() {
                let start = usize::try_from(*address).unwrap_or(usize::MAX);
                let outside = |_| EvalError::Trap("its data lies outside of its memory".to_owned());
                memory.write(&mut store, start, bytes).map_err(outside)?;
            }
            store.data_mut().memory = Some(memory);
        }
        let instance = instance(code, &mut store)?;
        if let Some(start) = code.start().and_then(|start| instance.get_module_export(&mut store, start)) {
            let start = start.into_func().and_then(|start| start.typed::<(), ()>(&store).ok());
            call(&start.ok_or_else(|| missing(START))?, &mut store, ())?;
        }
        Self::of(code, store, instance)
    }

    /// Makes an instance that begins with `snapshot`. The budget's time begins here.
    pub(super) fn resume(
        code: &Code,
        snapshot: &Snapshot,
        builtins: Arc<BTreeMap<i32, Builtin>>,
        budget: Budget,
        now: Timestamp,
    ) -> Result<Self, EvalError> {
        let mut store = store(code, builtins, budget, now);
        let memory = Instance::new(&mut store, &snapshot.memory, &[]).map_err(cause)?;
        store.data_mut().memory = memory.get_memory(&mut store, "memory");
        let instance = instance(code, &mut store)?;
        for (export, value) in &snapshot.globals {
            let global = instance.get_module_export(&mut store, export).and_then(Extern::into_global);
            global.ok_or_else(|| missing("mutable global"))?.set(&mut store, *value).map_err(cause)?;
        }
        Self::of(code, store, instance)
    }

    fn of(code: &Code, mut store: Store<Host>, instance: Instance) -> Result<Self, EvalError> {
        let exports = Arc::new(Exports::of(code.exports()?, &instance, &mut store)?);
        store.data_mut().exports = Some(exports.clone());
        Ok(Self { store, instance, exports })
    }

    /// The values of its mutable globals.
    pub(super) fn globals(&mut self, code: &Code) -> Vec<(ModuleExport, Val)> {
        let mut values = Vec::new();
        for export in code.globals() {
            if let Some(Extern::Global(global)) = self.instance.get_module_export(&mut self.store, export) {
                values.push((*export, global.get(&mut self.store)));
            }
        }
        values
    }

    /// The content of its memory.
    pub(super) fn memory(&self) -> &[u8] {
        self.exports.memory.data(&self.store)
    }

    /// The major and minor version of the ABI.
    pub(super) fn version(&mut self) -> Result<(i32, i32), EvalError> {
        Ok((self.global("opa_wasm_abi_version")?, self.global("opa_wasm_abi_minor_version")?))
    }

    /// The names of the builtins that it calls, with the number by which it calls each.
    pub(super) fn builtins(&mut self) -> Result<BTreeMap<String, i32>, EvalError> {
        self.table("builtins")
    }

    /// The names of its entrypoints, with the number of each.
    pub(super) fn entrypoints(&mut self) -> Result<BTreeMap<String, i32>, EvalError> {
        self.table("entrypoints")
    }

    /// Makes a value of a JSON document.
    pub(super) fn parse(&mut self, json: &[u8]) -> Result<Address, EvalError> {
        self.exports.parse(&mut self.store, json)
    }

    /// The result set of an entrypoint, as JSON.
    pub(super) fn evaluate(&mut self, entrypoint: i32, data: Address, input: &[u8]) -> Result<Vec<u8>, EvalError> {
        let exports = &self.exports;
        let address = exports.write(&mut self.store, input)?;
        let heap = call(&exports.heap_ptr_get, &mut self.store, ())?;
        let arguments = (0, entrypoint, data, address, length(input)?, heap, AS_JSON);
        let result = call(&exports.eval, &mut self.store, arguments)?;
        exports.read(&self.store, result)
    }

    /// Whether it has asked for the time.
    pub(super) fn asked_time(&self) -> bool {
        self.store.data().context.asked_time
    }

    fn global(&mut self, name: &str) -> Result<i32, EvalError> {
        let global = self.instance.get_global(&mut self.store, name);
        let value = global.and_then(|global| global.get(&mut self.store).i32());
        value.ok_or_else(|| missing(name))
    }

    fn table(&mut self, export: &str) -> Result<BTreeMap<String, i32>, EvalError> {
        let table = function::<(), Address>(&self.instance, &mut self.store, export)?;
        let json_dump = function::<Address, Address>(&self.instance, &mut self.store, "opa_json_dump")?;
        let value = call(&table, &mut self.store, ())?;
        let text = call(&json_dump, &mut self.store, value)?;
        let json = self.exports.read(&self.store, text)?;
        serde_json::from_slice(&json).map_err(|error| EvalError::Abi(format!("{export}() gives {error}")))
    }
}

impl Exports {
    fn of(indices: &ExportIndices, instance: &Instance, store: &mut Store<Host>) -> Result<Self, EvalError> {
        let memory = instance.get_module_export(&mut *store, &indices.memory).and_then(Extern::into_memory);
        Ok(Self {
            memory: memory.ok_or_else(|| missing("memory"))?,
            malloc: exported(instance, store, &indices.malloc, "opa_malloc")?,
            heap_ptr_get: exported(instance, store, &indices.heap_ptr_get, "opa_heap_ptr_get")?,
            value_parse: exported(instance, store, &indices.value_parse, "opa_value_parse")?,
            value_dump: exported(instance, store, &indices.value_dump, "opa_value_dump")?,
            eval: exported(instance, store, &indices.eval, "opa_eval")?,
        })
    }

    /// Makes a value of a document in JSON or in OPA's wider notation.
    pub(super) fn parse(&self, mut store: impl AsContextMut<Data = Host>, text: &[u8]) -> Result<Address, EvalError> {
        let address = self.write(&mut store, text)?;
        match call(&self.value_parse, &mut store, (address, length(text)?))? {
            0 => Err(EvalError::Abi("opa_value_parse refuses what the host gave it".to_owned())),
            value => Ok(value),
        }
    }

    /// A value in OPA's notation, which tells sets from arrays.
    pub(super) fn dump(&self, mut store: impl AsContextMut<Data = Host>, value: Address) -> Result<Vec<u8>, EvalError> {
        let text = call(&self.value_dump, &mut store, value)?;
        self.read(&store, text)
    }

    fn write(&self, mut store: impl AsContextMut<Data = Host>, bytes: &[u8]) -> Result<Address, EvalError> {
        let address = call(&self.malloc, &mut store, length(bytes)?)?;
        let start = usize::try_from(address.cast_unsigned()).unwrap_or(usize::MAX);
        let written = self.memory.write(&mut store, start, bytes);
        written.map_err(|_| EvalError::Abi("opa_malloc gives an address outside of the memory".to_owned()))?;
        Ok(address)
    }

    /// The text at `address`, within the limit of the output.
    fn read(&self, store: impl AsContext<Data = Host>, address: Address) -> Result<Vec<u8>, EvalError> {
        let store = store.as_context();
        let limit = store.data().budget.output_bytes;
        let (text, rest) = text_at(self.memory.data(store), address, limit);
        match rest {
            Rest::Ended => Ok(text.to_vec()),
            Rest::Longer => Err(EvalError::Output(limit)),
            Rest::Lost => Err(EvalError::Abi("it gives a text that does not end within its memory".to_owned())),
        }
    }
}

fn call<P: WasmParams, R: WasmResults>(
    function: &TypedFunc<P, R>,
    mut store: impl AsContextMut<Data = Host>,
    arguments: P,
) -> Result<R, EvalError> {
    let called = function.call(&mut store, arguments);
    called.map_err(cause)
}

/// What follows a text that was read up to a limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The zero byte that ends it.
    Ended,
    /// More of it.
    Longer,
    /// The end of the memory; or it began beyond.
    Lost,
}

/// The bytes from `address` up to the first zero byte, `limit` at most.
pub(super) fn text_at(memory: &[u8], address: Address, limit: usize) -> (&[u8], Rest) {
    let start = usize::try_from(address.cast_unsigned()).unwrap_or(usize::MAX);
    let tail = memory.get(start..).unwrap_or_default();
    let window = &tail[..tail.len().min(limit.saturating_add(1))];
    match window.iter().position(|byte| *byte == 0) {
        Some(end) => (&window[..end], Rest::Ended),
        None if window.len() > limit => (&window[..limit], Rest::Longer),
        None => (window, Rest::Lost),
    }
}

fn length(bytes: &[u8]) -> Result<i32, EvalError> {
    i32::try_from(bytes.len()).map_err(|_| EvalError::Abi("a document of 2 GiB or more".to_owned()))
}

fn function<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Host>,
    name: &str,
) -> Result<TypedFunc<P, R>, EvalError> {
    instance.get_typed_func(store, name).map_err(|_| missing(name))
}

fn exported<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Host>,
    index: &ModuleExport,
    name: &str,
) -> Result<TypedFunc<P, R>, EvalError> {
    let function = instance.get_module_export(&mut *store, index).and_then(Extern::into_func);
    function.and_then(|function| function.typed(&*store).ok()).ok_or_else(|| missing(name))
}

/// A store within `budget`, whose time begins now, unless the engine does not meter.
fn store(code: &Code, builtins: Arc<BTreeMap<i32, Builtin>>, budget: Budget, now: Timestamp) -> Store<Host> {
    let mut store = Store::new(code.wasm().engine(), Host::new(budget, now, builtins, code.engine()));
    if !store.data().is_metered() {
        return store;
    }
    store.limiter(|host| host);
    store.set_epoch_deadline(budget.epochs());
    // Epochs pass also while the thread waits for a processor.
    store.epoch_deadline_callback(|store| {
        store.data().context.deadline.check()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}

/// An instance of the code, with the memory that the store has.
fn instance(code: &Code, store: &mut Store<Host>) -> Result<Instance, EvalError> {
    let imports = code.imports().within(store).map_err(cause)?;
    Instance::new(store, code.wasm(), &imports).map_err(cause)
}

pub(super) fn missing(export: &str) -> EvalError {
    EvalError::Abi(format!("it exports no {export} of the right type"))
}

/// What ended a call: the host's own error, or the engine's.
fn cause(error: wasmtime::Error) -> EvalError {
    match error.downcast::<EvalError>() {
        Ok(error) => error,
        Err(error) => match error.downcast_ref::<Trap>() {
            Some(trap) => EvalError::Trap(trap.to_string()),
            None => EvalError::Trap(error.root_cause().to_string()),
        },
    }
}
