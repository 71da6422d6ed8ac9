//! Takes a module apart into its code and what its memory begins with. The code is compiled once; an evaluation begins
//! with the memory and the globals of an instance that has started and read its data. What such an instance did to its
//! table or to passive segments is not kept; OPA's do nothing to them.

use wasm_encoder::{DataSection, ExportKind, ExportSection, RawSection};
use wasmparser::{BinaryReaderError, Data, DataKind, Export, ExternalKind, Operator, Parser, Payload, TypeRef};

use super::LoadError;

/// The export by which the host calls the start function.
pub(super) const START: &str = "scalegate:start";

/// How many mutable globals a module may have: each is set anew for each evaluation. OPA's have one.
const MUTABLE_GLOBALS: usize = 64;

/// A module in parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The module without its start function and active data segments, which exports what the host needs in their place.
    pub(super) code: Vec<u8>,
    /// What the memory begins with: bytes by their addresses, later ones over earlier ones.
    pub(super) data: Vec<(u32, Vec<u8>)>,
    /// The exports of the mutable globals.
    pub(super) globals: Vec<String>,
}

impl From<BinaryReaderError> for LoadError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Compile(error.to_string())
    }
}

/// What an export section says before the sections that it depends on have been read.
#[derive(Default)]
struct Outline {
    start: Option<u32>,
    /// The indices of the mutable globals.
    mutable: Vec<u32>,
    globals: u32,
}

impl Outline {
    fn of(wasm: &[u8]) -> Result<Self, LoadError> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        if let TypeRef::Global(_) = import?.ty {
                            outline.globals += 1;
                        }
                    }
                }
                Payload::MemorySection(memories) if memories.count() > 0 => return Err(LoadError::Memory),
                Payload::TableSection(tables) if tables.count() > 1 => return Err(LoadError::Tables(tables.count())),
                Payload::GlobalSection(globals) => {
                    for global in globals {
                        let global = global?.ty;
                        if global.mutable {
                            outline.mutable.push(outline.globals);
                            if global.content_type.is_reference_type() || outline.mutable.len() > MUTABLE_GLOBALS {
                                return Err(LoadError::Globals);
                            }
                        }
                        outline.globals += 1;
                    }
                }
                Payload::StartSection { func, .. } => outline.start = Some(func),
                _ => {}
            }
        }
        Ok(outline)
    }

    fn names(&self) -> Vec<String> {
        self.mutable.iter().map(|index| format!("scalegate:global:{index}")).collect()
    }
}

/// Takes `wasm` apart, which is valid.
pub(super) fn split(wasm: &[u8]) -> Result<Parts, LoadError> {
    let outline = Outline::of(wasm)?;
    let (mut code, mut data) = (wasm_encoder::Module::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::StartSection { .. } | Payload::CustomSection(_) => {}
            Payload::ExportSection(exports) => {
                let mut section = ExportSection::new();
                for export in exports.clone() {
                    let Export { name, kind, index } = export?;
                    section.export(name, export_kind(kind)?, index);
                }
                if let Some(start) = outline.start {
                    section.export(START, ExportKind::Func, start);
                }
                for (name, index) in outline.names().iter().zip(&outline.mutable) {
                    section.export(name, ExportKind::Global, *index);
                }
                code.section(&section);
            }
            Payload::DataSection(segments) => {
                let mut section = DataSection::new();
                for segment in segments.clone() {
                    match segment? {
                        Data { kind: DataKind::Passive, data, .. } => section.passive(data.iter().copied()),
                        Data { kind: DataKind::Active { offset_expr, .. }, data: bytes, .. } => {
                            let mut operators = offset_expr.get_operators_reader();
                            let Operator::I32Const { value } = operators.read()? else { return Err(LoadError::Data) };
                            if !matches!(operators.read()?, Operator::End) {
                                return Err(LoadError::Data);
                            }
                            data.push((value.cast_unsigned(), bytes.to_vec()));
                            // To its code, a segment that was copied is an empty one.
                            section.passive([])
                        }
                    };
                }
                code.section(&section);
            }
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    code.section(&RawSection { id, data: &wasm[range] });
                }
            }
        }
    }
    Ok(Parts { code: code.finish(), data, globals: outline.names() })
}

fn export_kind(kind: ExternalKind) -> Result<ExportKind, LoadError> {
    Ok(match kind {
        ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
        ExternalKind::Table => ExportKind::Table,
        ExternalKind::Memory => ExportKind::Memory,
        ExternalKind::Global => ExportKind::Global,
        ExternalKind::Tag => return Err(LoadError::Compile("it exports a tag".to_owned())),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use wasmparser::Validator;

    use super::*;

    fn parts(text: &str) -> Parts {
        let wasm = wat::parse_str(text).unwrap();
        Validator::new().validate_all(&wasm).unwrap();
        split(&wasm).unwrap()
    }

    #[test]
    fn the_code_has_no_start_and_no_active_data_and_exports_what_the_host_needs() {
        let Parts { code, data, globals } = parts(
            r#"(module
                (import "env" "memory" (memory 1))
                (global i32 (i32.const 1))
                (global (mut i32) (i32.const 2))
                (func $start)
                (func (export "use") (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 1)))
                (export "memory" (memory 0))
                (data (i32.const 8) "active")
                (data "passive")
                (data (i32.const -1) "")
                (start $start))"#,
        );
        assert_eq!(data, [(8, b"active".to_vec()), (u32::MAX, Vec::new())]);
        assert_eq!(globals, ["scalegate:global:1"]);
        Validator::new().validate_all(&code).unwrap();
        let (mut exports, mut passive) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&code) {
            match payload.unwrap() {
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
                }
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment.unwrap();
                        assert!(matches!(segment.kind, DataKind::Passive));
                        passive.push(segment.data.to_vec());
                    }
                }
                Payload::StartSection { .. } => unreachable!("it has a start section"),
                _ => {}
            }
        }
        assert_eq!(exports, ["use", "memory", START, "scalegate:global:1"]);
        // Under their indices, for `memory.init`.
        assert_eq!(passive, [b"".to_vec(), b"passive".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn a_module_without_any_of_it_stays_as_it_is() {
        let wasm = wat::parse_str("(module (func (export \"f\") (result i32) i32.const 7))").unwrap();
        assert_eq!(split(&wasm).unwrap().code, wasm);
    }
}
