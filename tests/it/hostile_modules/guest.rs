//! Modules that speak OPA's ABI, each part of which can be replaced by a hostile one.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The parts in their order: well-behaved, and in all they allow everything.
const PARTS: [(&str, &str); 20] = [
    ("import_memory", r#"(import "env" "memory" (memory $memory 2))"#),
    ("import_abort", r#"(import "env" "opa_abort" (func $abort (param i32)))"#),
    ("import_println", r#"(import "env" "opa_println" (func $println (param i32)))"#),
    ("import_builtin0", r#"(import "env" "opa_builtin0" (func $builtin0 (param i32 i32) (result i32)))"#),
    ("import_builtin1", r#"(import "env" "opa_builtin1" (func $builtin1 (param i32 i32 i32) (result i32)))"#),
    ("import_builtin2", r#"(import "env" "opa_builtin2" (func $builtin2 (param i32 i32 i32 i32) (result i32)))"#),
    ("memory", r#"(export "memory" (memory $memory))"#),
    ("major", r#"(global (export "opa_wasm_abi_version") i32 (i32.const 1))"#),
    ("minor", r#"(global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))"#),
    ("entrypoints", r#"(func (export "entrypoints") (result i32) (i32.const 1024))"#),
    ("builtins", r#"(func (export "builtins") (result i32) (i32.const 2048))"#),
    (
        "malloc",
        r#"(func $malloc (export "opa_malloc") (param $size i32) (result i32) (local $old i32)
             (local.set $old (global.get $heap))
             (global.set $heap (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 1)))
             (local.get $old))"#,
    ),
    ("heap_ptr_get", r#"(func (export "opa_heap_ptr_get") (result i32) (global.get $heap))"#),
    (
        "value_parse",
        r#"(func (export "opa_value_parse") (param $text i32) (param $length i32) (result i32)
             (i32.store8 (i32.add (local.get $text) (local.get $length)) (i32.const 0)) (local.get $text))"#,
    ),
    ("value_dump", r#"(func (export "opa_value_dump") (param i32) (result i32) (local.get 0))"#),
    ("json_dump", r#"(func (export "opa_json_dump") (param i32) (result i32) (local.get 0))"#),
    ("eval", "(func (export \"opa_eval\") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 4096))"),
    ("text_entrypoints", r#"(data (i32.const 1024) "{\22scalegate/verdict\22:0}\00")"#),
    (
        "text_builtins",
        r#"(data (i32.const 2048) "{\22sprintf\22:1,\22time.now_ns\22:2,\22time.parse_rfc3339_ns\22:3}\00")"#,
    ),
    ("more", ""),
];

/// What parts may use: the end of the heap, a mark, and a verdict that allows.
const SHARED: &str = r#"
  (global $heap (mut i32) (i32.const 65536))
  (global $armed (mut i32) (i32.const 0))
  (data (i32.const 4096) "[{\22result\22:{\22allow\22:true,\22reasons\22:[]}}]\00")"#;

/// A module in the making.
pub(super) struct Guest(BTreeMap<&'static str, String>);

impl Guest {
    /// One that behaves well.
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// With `part` replaced; an empty text leaves it out.
    pub(super) fn with(mut self, part: &str, text: impl Into<String>) -> Result<Self> {
        let (part, _) = PARTS.iter().find(|(name, _)| *name == part).with_context(|| format!("no part {part}"))?;
        self.0.insert(part, text.into());
        Ok(self)
    }

    /// One that allows what is asked at load, and evaluates `body` for clients of `scalegate.test`: at this place of the
    /// document the probe's id differs from theirs.
    pub(super) fn deciding(body: &str) -> Self {
        let at = r#"{"apiVersion":"scalegate.dev/v1","client":{"id":"uri:spiffe://"#.len();
        let eval = format!(
            r#"(func $eval (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
                 (if (result i32) (i32.eq (i32.load8_u (i32.add (local.get 3) (i32.const {at}))) (i32.const {}))
                   (then {body}) (else (i32.const 4096))))"#,
            b's'
        );
        Self(BTreeMap::from([("eval", eval)]))
    }

    /// The module's bytes.
    pub(super) fn wasm(&self) -> Result<Vec<u8>> {
        let parts = PARTS.map(|(name, good)| self.0.get(name).map_or(good, String::as_str));
        let text = format!("(module\n{}\n{SHARED})", parts.join("\n"));
        Ok(wat::parse_str(text)?)
    }
}

/// The sections of a module: the place at which each ends, beginning with the head.
pub(super) fn section_ends(wasm: &[u8]) -> Vec<usize> {
    let mut ends = vec![8];
    let mut at = 8;
    while at < wasm.len() {
        let (mut length, mut shift) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(wasm[at] & 0x7f) << shift;
            shift += 7;
            if wasm[at] < 0x80 {
                break;
            }
        }
        at += 1 + length;
        ends.push(at);
    }
    ends
}
