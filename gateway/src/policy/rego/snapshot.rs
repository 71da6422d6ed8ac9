//! The memory and the globals of an instance that has started and read its data. Each evaluation begins with a copy.

use std::ops::Range;

use wasm_encoder::{ConstExpr, DataSection, ExportKind, ExportSection, MemorySection, MemoryType};
use wasmtime::{ModuleExport, Val};

use super::LoadError;
use super::abi::{Address, Guest};
use super::code::Code;

/// The granularity at which leading and trailing zeros are left out.
const PAGE: usize = 4 << 10;

/// The most bytes that an evaluation may begin with. The engine holds them twice: in the module, and as the image that it
/// maps.
pub(in crate::policy) const MOST: usize = 32 << 20;

/// What an evaluation begins with.
pub(super) struct Snapshot {
    /// A module of one memory and its content, which wasmtime maps copy-on-write.
    pub(super) memory: wasmtime::Module,
    /// The values of the mutable globals.
    pub(super) globals: Vec<(ModuleExport, Val)>,
    /// The module's `data`.
    pub(super) data: Address,
    /// How many bytes of memory are kept.
    pub(super) bytes: usize,
}

impl Snapshot {
    /// `guest` as it is, with its data at `data`.
    pub(super) fn of(code: &Code, guest: &mut Guest, data: Address) -> Result<Self, LoadError> {
        let globals = guest.globals(code);
        let content = guest.memory();
        let kept = kept(content);
        let bytes = kept.len();
        if bytes > MOST {
            return Err(LoadError::Snapshot { bytes, most: MOST });
        }
        let maximum = code.imports().memory.as_ref().and_then(wasmtime::MemoryType::maximum);
        let module = memory_module(content, kept, maximum);
        let memory = code.engine().compile(&module).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        Ok(Self { memory, globals, data, bytes })
    }
}

/// The range from the first to the last page that is not all zeros.
fn kept(content: &[u8]) -> Range<usize> {
    let is_used = |page: &[u8]| page.iter().any(|byte| *byte != 0);
    let first = content.chunks(PAGE).position(is_used).unwrap_or_default();
    let end = content.chunks(PAGE).rposition(is_used).map_or(first, |last| last + 1);
    first * PAGE..content.len().min(end * PAGE)
}

/// A module whose memory begins with `content`, of which `kept` is not zeros.
fn memory_module(content: &[u8], kept: Range<usize>, maximum: Option<u64>) -> Vec<u8> {
    let (mut memories, mut exports, mut data) = (MemorySection::new(), ExportSection::new(), DataSection::new());
    let minimum = (content.len() / (64 << 10)) as u64;
    memories.memory(MemoryType { minimum, maximum, memory64: false, shared: false, page_size_log2: None });
    exports.export("memory", ExportKind::Memory, 0);
    let offset = u32::try_from(kept.start).unwrap_or(u32::MAX).cast_signed();
    data.active(0, &ConstExpr::i32_const(offset), content[kept].iter().copied());
    let mut module = wasm_encoder::Module::new();
    module.section(&memories).section(&exports).section(&data);
    module.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use wasmtime::{Instance, Store};

    use super::*;

    #[test]
    fn the_module_has_the_very_memory_without_the_zeros_around_it() {
        let mut content = vec![0; 3 << 16];
        content[3 * PAGE + 5] = 1;
        content[10 * PAGE] = 3;
        assert_eq!(kept(&content), 3 * PAGE..11 * PAGE);
        let module = memory_module(&content, kept(&content), Some(7));
        assert!(module.len() < 9 * PAGE);

        let engine = wasmtime::Engine::default();
        let mut store = Store::new(&engine, ());
        let module = wasmtime::Module::new(&engine, module).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert!(memory.data(&store) == content);
        assert_eq!(memory.ty(&store).maximum(), Some(7));
    }

    #[test]
    fn a_memory_of_zeros_keeps_nothing() {
        assert!(kept(&[]).is_empty());
        assert!(kept(&[0; 2 * PAGE]).is_empty());
    }
}
