//! What a module is compiled to. It depends on the module's bytes alone, so that a change of settings, data or budget
//! compiles nothing.

use std::fmt;
use std::sync::Arc;

use wasmtime::ModuleExport;

use super::abi::{ExportIndices, missing};
use super::host::Imports;
use super::split::{self, Parts};
use super::{EvalError, LoadError};
use crate::policy::engine::Engine;

/// The compiled code of a module. Clones share it.
#[derive(Clone)]
pub(in crate::policy) struct Code {
    /// Deadlines hold for as long as the engine's clock runs.
    engine: Engine,
    /// Without start function and active data.
    wasm: wasmtime::Module,
    shared: Arc<Shared>,
}

struct Shared {
    imports: Imports,
    exports: Result<ExportIndices, &'static str>,
    start: Option<ModuleExport>,
    globals: Vec<ModuleExport>,
    data: Vec<(u32, Vec<u8>)>,
}

impl Code {
    /// Compiles `wasm`, whose [`cost`](super::complexity::cost) is within bounds.
    pub(in crate::policy) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, LoadError> {
        let Parts { code, data, globals } = split::split(wasm)?;
        let wasm = engine.compile(&code).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        let shared = Shared {
            imports: Imports::of(engine, &wasm)?,
            exports: ExportIndices::of(&wasm),
            start: wasm.get_export_index(split::START),
            globals: globals.iter().filter_map(|name| wasm.get_export_index(name)).collect(),
            data,
        };
        Ok(Self { engine: engine.clone(), wasm, shared: Arc::new(shared) })
    }

    /// How many bytes it keeps.
    pub(in crate::policy) fn bytes(&self) -> u64 {
        let image = self.wasm.image_range();
        (image.end.addr() - image.start.addr()) as u64
    }

    pub(super) fn wasm(&self) -> &wasmtime::Module {
        &self.wasm
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn imports(&self) -> &Imports {
        &self.shared.imports
    }

    /// Where its exports are.
    pub(super) fn exports(&self) -> Result<&ExportIndices, EvalError> {
        self.shared.exports.as_ref().map_err(|export| missing(export))
    }

    /// What its memory begins with before it has started.
    pub(super) fn data(&self) -> &[(u32, Vec<u8>)] {
        &self.shared.data
    }

    /// Its start function.
    pub(super) fn start(&self) -> Option<&ModuleExport> {
        self.shared.start.as_ref()
    }

    /// Its mutable globals.
    pub(super) fn globals(&self) -> &[ModuleExport] {
        &self.shared.globals
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
