//! Sets of policies made for tests: Rego compiled by the OPA that the repository pins, and modules that it does not make.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use scalegate_tests::paths::repository;
use serde_json::{Value, json};

/// A file of a set: its name and what is in it.
pub(crate) type File = (String, Vec<u8>);

/// The rule that the gateway asks for.
pub(crate) const VERDICT: &str = "scalegate/verdict";

/// Where the pinned OPA is.
pub(crate) fn opa() -> Result<&'static Path> {
    static OPA: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = OPA.get() {
        return Ok(path);
    }
    let output = Command::new(repository().join("policies/build.sh")).arg("--opa").output()?;
    ensure!(output.status.success(), "policies/build.sh --opa: {}", String::from_utf8_lossy(&output.stderr));
    Ok(OPA.get_or_init(|| String::from_utf8_lossy(&output.stdout).trim().into()))
}

/// The module that OPA makes of `rules`, in package `scalegate`.
pub(crate) fn compiled(rules: &str, entrypoint: &str) -> Result<Vec<u8>> {
    compiled_with(&[], rules, entrypoint)
}

/// As [`compiled`], with further arguments of `opa build`.
pub(crate) fn compiled_with(arguments: &[&str], rules: &str, entrypoint: &str) -> Result<Vec<u8>> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("policy.rego"), format!("package scalegate\n\n{rules}\n"))?;
    let mut build = Command::new(opa()?);
    build.args(["build", "--target", "wasm", "--optimize", "0", "--entrypoint", entrypoint, "policy.rego"]);
    build.args(arguments);
    let output = build.current_dir(&directory).output()?;
    ensure!(output.status.success(), "{rules}: {}", String::from_utf8_lossy(&output.stderr));
    let tar = Command::new("tar").args(["-xzPOf", "bundle.tar.gz", "/policy.wasm"]).current_dir(&directory).output()?;
    ensure!(tar.status.success() && !tar.stdout.is_empty(), "{rules}: no module in the bundle");
    Ok(tar.stdout)
}

/// A module that speaks OPA's ABI, whose evaluation is the WebAssembly `eval`: its locals 3 and 4 are the address of the
/// input and its length, and at 4096 lies a verdict that allows.
pub(crate) fn handmade(eval: &str) -> Result<Vec<u8>> {
    handmade_with(eval, "")
}

/// The same with `more` in the module.
pub(crate) fn handmade_with(eval: &str, more: &str) -> Result<Vec<u8>> {
    let module = format!(
        r#"(module
  (import "env" "memory" (memory $memory 2))
  (export "memory" (memory $memory))
  (global (export "opa_wasm_abi_version") i32 (i32.const 1))
  (global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))
  (data (i32.const 1024) "{{\"scalegate/verdict\":0}}\00")
  (data (i32.const 2048) "{{}}\00")
  (data (i32.const 4096) "[{{\"result\":{{\"allow\":true,\"reasons\":[]}}}}]\00")
  (func (export "opa_malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "opa_heap_ptr_get") (result i32) (i32.const 65536))
  (func (export "opa_value_parse") (param i32 i32) (result i32) (local.get 0))
  (func (export "opa_value_dump") (param i32) (result i32) (local.get 0))
  (func (export "opa_json_dump") (param i32) (result i32) (local.get 0))
  (func (export "entrypoints") (result i32) (i32.const 1024))
  (func (export "builtins") (result i32) (i32.const 2048))
  (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32) {eval})
  {more})"#
    );
    Ok(wat::parse_str(module)?)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    scalegate::hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// An entry of `policies.yaml` for the module `NAME.wasm`, with enough time for a busy machine.
pub(crate) fn entry(name: &str, module: &[u8]) -> Value {
    json!({
        "name": name, "module": format!("{name}.wasm"), "sha256": sha256(module), "mode": "enforce",
        "budget": { "deadline": "1s" },
    })
}

/// Makes `directory` a set of these files, whatever it was before; `policies.yaml` changes last.
pub(crate) fn write_set(directory: &Path, manifest: &str, files: &[File]) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    for file in directory.read_dir()? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if name != "policies.yaml" && !files.iter().any(|(kept, _)| *kept == name) {
            std::fs::remove_file(directory.join(name))?;
        }
    }
    let manifest = ("policies.yaml".to_owned(), manifest.as_bytes().to_vec());
    for (name, content) in files.iter().chain([&manifest]) {
        let new = directory.join(format!(".{name}.new"));
        std::fs::write(&new, content).with_context(|| new.display().to_string())?;
        std::fs::rename(&new, directory.join(name))?;
    }
    Ok(())
}
