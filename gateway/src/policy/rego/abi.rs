//! The guest's side of OPA's ABI: one instance and the functions that it exports.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use wasmtime::{
    AsContext, AsContextMut, Instance, Memory, Store, Trap, TypedFunc, UpdateDeadline, WasmParams, WasmResults,
};

use super::EvalError;
use super::builtins::Builtin;
use super::code::Code;
use super::host::Host;
use crate::policy::budget::Budget;

/// `opa_eval`'s argument for a result set as JSON.
const AS_JSON: i32 = 0;

/// `opa_eval(reserved, entrypoint, data, input, input length, heap pointer, format)`, the one-shot evaluation.
type OpaEval = TypedFunc<(i32, i32, i32, i32, i32, i32, i32), i32>;

/// An address in the guest's memory.
type Address = i32;

/// A running instance.
pub(super) struct Guest {
    store: Store<Host>,
    instance: Instance,
    exports: Exports,
}

/// What the host calls in an instance.
#[derive(Clone)]
pub(super) struct Exports {
    memory: Memory,
    malloc: TypedFunc<i32, Address>,
    heap_ptr_get: TypedFunc<(), Address>,
    value_parse: TypedFunc<(Address, i32), Address>,
    value_dump: TypedFunc<Address, Address>,
    json_dump: TypedFunc<Address, Address>,
    eval: OpaEval,
}

impl Guest {
    /// Makes an instance and runs its `start`. The budget's time begins here.
    pub(super) fn start(
        code: &Code,
        builtins: Arc<BTreeMap<i32, Builtin>>,
        budget: Budget,
        now: Timestamp,
    ) -> Result<Self, EvalError> {
        let mut store = Store::new(code.wasm().engine(), Host::new(budget, now, builtins));
        store.limiter(|host| host);
        store.set_epoch_deadline(budget.epochs());
        // Epochs pass also while the thread waits for a processor.
        store.epoch_deadline_callback(|store| {
            store.data().deadline.check()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let instance = code
            .imports()
            .within(&mut store)
            .and_then(|imports| Instance::new(&mut store, code.wasm(), &imports))
            .map_err(cause)?;
        let exports = Exports::of(&instance, &mut store)?;
        store.data_mut().exports = Some(exports.clone());
        Ok(Self { store, instance, exports })
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
        let exports = self.exports.clone();
        exports.parse(&mut self.store, json)
    }

    /// The result set of an entrypoint, as JSON.
    pub(super) fn evaluate(&mut self, entrypoint: i32, data: Address, input: &[u8]) -> Result<Vec<u8>, EvalError> {
        let exports = self.exports.clone();
        let address = exports.write(&mut self.store, input)?;
        let heap = call(&exports.heap_ptr_get, &mut self.store, ())?;
        let arguments = (0, entrypoint, data, address, length(input)?, heap, AS_JSON);
        let result = call(&exports.eval, &mut self.store, arguments)?;
        exports.read(&self.store, result)
    }

    /// Whether it has asked for the time.
    pub(super) fn asked_time(&self) -> bool {
        self.store.data().asked_time
    }

    fn global(&mut self, name: &str) -> Result<i32, EvalError> {
        let global = self.instance.get_global(&mut self.store, name);
        let value = global.and_then(|global| global.get(&mut self.store).i32());
        value.ok_or_else(|| missing(name))
    }

    fn table(&mut self, export: &str) -> Result<BTreeMap<String, i32>, EvalError> {
        let exports = self.exports.clone();
        let table = function::<(), Address>(&self.instance, &mut self.store, export)?;
        let value = call(&table, &mut self.store, ())?;
        let text = call(&exports.json_dump, &mut self.store, value)?;
        let json = exports.read(&self.store, text)?;
        serde_json::from_slice(&json).map_err(|error| EvalError::Abi(format!("{export}() gives {error}")))
    }
}

impl Exports {
    fn of(instance: &Instance, store: &mut Store<Host>) -> Result<Self, EvalError> {
        Ok(Self {
            memory: instance.get_memory(&mut *store, "memory").ok_or_else(|| missing("memory"))?,
            malloc: function(instance, store, "opa_malloc")?,
            heap_ptr_get: function(instance, store, "opa_heap_ptr_get")?,
            value_parse: function(instance, store, "opa_value_parse")?,
            value_dump: function(instance, store, "opa_value_dump")?,
            json_dump: function(instance, store, "opa_json_dump")?,
            eval: function(instance, store, "opa_eval")?,
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

fn missing(export: &str) -> EvalError {
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
