//! Modules for tests: the thinnest that speak OPA's ABI, with a place to misbehave. Their values are texts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;

thread_local! {
    /// How many of the next calls of the builtin `test.late` on this thread last until the deadline.
    pub(in crate::policy) static LATE: Cell<u32> = const { Cell::new(0) };
}

/// A module to be made, well-behaved unless a test changes a part of it.
pub(in crate::policy) struct Fake {
    /// What `entrypoints()` gives.
    pub(in crate::policy) entrypoints: String,
    /// What `builtins()` gives.
    pub(in crate::policy) builtins: String,
    /// The text at [`RESULT`], which `opa_eval` gives.
    pub(in crate::policy) result: String,
    /// The body of `opa_eval`, with the address of its result as its value.
    pub(in crate::policy) eval: String,
    /// The body of the start function.
    pub(in crate::policy) start: String,
    /// The minor version of the ABI.
    pub(in crate::policy) minor: i32,
    /// Further imports.
    pub(in crate::policy) imports: String,
}

/// Where [`Fake::result`] lies.
pub(in crate::policy) const RESULT: i32 = 4096;

/// A body that never ends.
pub(in crate::policy) const LOOP: &str = "(loop $again (br $again)) unreachable";

impl Default for Fake {
    fn default() -> Self {
        Self {
            entrypoints: r#"{"scalegate/verdict":0}"#.to_owned(),
            builtins: "{}".to_owned(),
            result: results(r#"{"allow":true,"reasons":[]}"#),
            eval: format!("(i32.const {RESULT})"),
            start: String::new(),
            minor: 3,
            imports: String::new(),
        }
    }
}

/// The result set with one verdict.
pub(in crate::policy) fn results(verdict: &str) -> String {
    format!(r#"[{{"result":{verdict}}}]"#)
}

impl Fake {
    /// One that gives `verdict`.
    pub(in crate::policy) fn giving(verdict: &str) -> Self {
        Self { result: results(verdict), ..Self::default() }
    }

    /// One whose `opa_eval` is `body`.
    pub(in crate::policy) fn evaluating(body: impl Into<String>) -> Self {
        Self { eval: body.into(), ..Self::default() }
    }

    /// One that allows the questions that are asked at load; `opa_eval` is `body` for clients of `scalegate.test`.
    pub(in crate::policy) fn once_loaded(body: &str) -> Self {
        let at = r#"{"apiVersion":"scalegate.dev/v1","client":{"id":"uri:spiffe://"#.len();
        Self::evaluating(format!(
            "(if (result i32) (i32.eq (i32.load8_u (i32.add (local.get 3) (i32.const {at}))) (i32.const {}))
               (then {body}) (else (i32.const {RESULT})))",
            b's'
        ))
    }

    /// One that allows the questions that are asked at load, and panics for clients of `scalegate.test`.
    pub(in crate::policy) fn panicking() -> Self {
        Self {
            builtins: r#"{"test.panic":7}"#.to_owned(),
            ..Self::once_loaded("(call $builtin0 (i32.const 7) (i32.const 0))")
        }
    }

    /// The module's bytes.
    pub(in crate::policy) fn wasm(&self) -> Vec<u8> {
        let text = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let Self { eval, start, minor, imports, .. } = self;
        let (entrypoints, builtins, result) = (text(&self.entrypoints), text(&self.builtins), text(&self.result));
        wat::parse_str(format!(
            r#"(module
  (import "env" "memory" (memory $memory 2))
  (import "env" "opa_abort" (func $abort (param i32)))
  (import "env" "opa_println" (func $println (param i32)))
  (import "env" "opa_builtin0" (func $builtin0 (param i32 i32) (result i32)))
  (import "env" "opa_builtin1" (func $builtin1 (param i32 i32 i32) (result i32)))
  (import "env" "opa_builtin2" (func $builtin2 (param i32 i32 i32 i32) (result i32)))
  {imports}
  (export "memory" (memory $memory))
  (global (export "opa_wasm_abi_version") i32 (i32.const 1))
  (global (export "opa_wasm_abi_minor_version") i32 (i32.const {minor}))
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 1024) "{entrypoints}\00")
  (data (i32.const 2048) "{builtins}\00")
  (data (i32.const {RESULT}) "{result}\00")
  (func $malloc (export "opa_malloc") (param $size i32) (result i32) (local $old i32)
    (local.set $old (global.get $heap))
    (global.set $heap (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 1)))
    (local.get $old))
  (func (export "opa_heap_ptr_get") (result i32) (global.get $heap))
  (func (export "opa_value_parse") (param $text i32) (param $length i32) (result i32)
    (i32.store8 (i32.add (local.get $text) (local.get $length)) (i32.const 0))
    (local.get $text))
  (func (export "opa_value_dump") (param i32) (result i32) (local.get 0))
  (func (export "opa_json_dump") (param i32) (result i32) (local.get 0))
  (func (export "entrypoints") (result i32) (i32.const 1024))
  (func (export "builtins") (result i32) (i32.const 2048))
  (func $opa_eval (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32) {eval})
  (func $start {start})
  (start $start))"#
        ))
        .unwrap()
    }
}
