//! The memory of an instance that has started and read its data: each evaluation begins with a copy of it.

use wasm_encoder::{ConstExpr, DataSection, ExportKind, ExportSection, MemorySection, MemoryType};
use wasmtime::{ModuleExport, Val};

use super::LoadError;
use super::abi::{Address, Guest};
use super::code::Code;

/// The unit in which memory is looked at. Pages of zeros are left out.
const PAGE: usize = 4 << 10;

/// The most bytes that an evaluation may begin with.
const MOST: usize = 32 << 20;

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
        let (module, bytes) = memory_module(guest.memory());
        if bytes > MOST {
            return Err(LoadError::Snapshot { bytes, most: MOST });
        }
        let memory = code.engine().compile(&module).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
        Ok(Self { memory, globals, data, bytes })
    }
}

/// A module whose memory begins with `content`, and how many bytes of it are not in pages of zeros.
fn memory_module(content: &[u8]) -> (Vec<u8>, usize) {
    let (mut memories, mut exports, mut data) = (MemorySection::new(), ExportSection::new(), DataSection::new());
    let minimum = (content.len() / (64 << 10)) as u64;
    memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
    exports.export("memory", ExportKind::Memory, 0);
    let used = |page: &&[u8]| page.iter().any(|byte| *byte != 0);
    let pages: Vec<_> = content.chunks(PAGE).collect();
    let (mut first, mut bytes) = (0, 0);
    for run in pages.chunk_by(|one, next| used(one) == used(next)) {
        if run.first().is_some_and(used) {
            let range = first * PAGE..content.len().min((first + run.len()) * PAGE);
            let offset = i32::from_le_bytes((u32::try_from(range.start).unwrap_or(u32::MAX)).to_le_bytes());
            bytes += range.len();
            data.active(0, &ConstExpr::i32_const(offset), content[range].iter().copied());
        }
        first += run.len();
    }
    let mut module = wasm_encoder::Module::new();
    module.section(&memories).section(&exports).section(&data);
    (module.finish(), bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use wasmtime::{Instance, Store};

    use super::*;

    #[test]
    fn the_module_has_the_very_memory_without_its_pages_of_zeros() {
        let mut content = vec![0; 3 << 16];
        content[5] = 1;
        content[2 * PAGE - 1] = 2;
        content[10 * PAGE] = 3;
        *content.last_mut().unwrap() = 4;
        let (module, bytes) = memory_module(&content);
        assert_eq!(bytes, 4 * PAGE);
        assert!(module.len() < 5 * PAGE);

        let engine = wasmtime::Engine::default();
        let mut store = Store::new(&engine, ());
        let module = wasmtime::Module::new(&engine, module).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        assert!(instance.get_memory(&mut store, "memory").unwrap().data(&store) == content);
    }

    #[test]
    fn an_empty_memory_is_one_too() {
        assert_eq!(memory_module(&[]).1, 0);
    }
}
