//! What a module is compiled to. It depends on the module's bytes alone, so that a change of settings, data or budget
//! compiles nothing.

use std::fmt;
use std::sync::Arc;

use super::LoadError;
use super::host::Imports;
use crate::policy::engine::Engine;

/// The compiled code of a module. Clones share it.
#[derive(Clone)]
pub(in crate::policy) struct Code {
    /// Deadlines hold for as long as the engine's clock runs.
    _engine: Engine,
    wasm: wasmtime::Module,
    imports: Arc<Imports>,
}

impl Code {
    /// Compiles `wasm`, whose [`cost`](super::complexity::cost) is within bounds.
    pub(in crate::policy) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Self, LoadError> {
        let wasm = engine.compile(wasm).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        let imports = Arc::new(Imports::of(engine, &wasm)?);
        Ok(Self { _engine: engine.clone(), wasm, imports })
    }

    /// How many bytes it keeps.
    pub(in crate::policy) fn bytes(&self) -> u64 {
        let image = self.wasm.image_range();
        (image.end.addr() - image.start.addr()) as u64
    }

    pub(super) fn wasm(&self) -> &wasmtime::Module {
        &self.wasm
    }

    pub(super) fn imports(&self) -> &Imports {
        &self.imports
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
