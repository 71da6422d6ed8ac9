//! The gateway's own host of OPA's ABI, beside the one of the `opa-wasm` crate.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use opa_wasm::wasmtime;
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine};
use scalegate_tests::paths::repository;
use serde_json::Value;

const ENTRYPOINT: &str = "scalegate/verdict";

/// Where opa-wasm traps and OPA does not: its `sprintf` knows no `%v`, and a builtin that fails is not undefined.
const TRAPS: [&str; 2] = ["failed to call printf", "Could not parse timezone"];

async fn by_opa_wasm(module: &wasmtime::Module, data: &Value, input: &Value) -> Result<Value> {
    let mut store = wasmtime::Store::new(module.engine(), ());
    let runtime = opa_wasm::Runtime::new(&mut store, module).await?;
    let policy = runtime.with_data(&mut store, data).await?;
    let results: Value = policy.evaluate(&mut store, ENTRYPOINT, input).await?;
    Ok(results[0]["result"].clone())
}

fn by_the_gateway(engine: &Engine, wasm: &[u8], data: &Value, input: &Value) -> Result<Value> {
    let patient = Budget { deadline: std::time::Duration::from_secs(1), ..Budget::default() };
    let module = Module::load(engine, wasm, patient, &serde_json::to_vec(data)?)?;
    let verdict = module.evaluate(&serde_json::to_vec(input)?, Timestamp::now())?.verdict;
    Ok(serde_json::json!({ "allow": verdict.allow, "reasons": verdict.reasons, "tags": verdict.tags }))
}

fn json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

#[tokio::test]
async fn the_gateway_and_opa_wasm_give_the_same_verdict_on_every_example() -> Result<()> {
    let wasm = std::fs::read(repository().join("target/policies/scalegate.wasm")).context("run `make policies`")?;
    let theirs = wasmtime::Module::new(&wasmtime::Engine::default(), &wasm)?;
    let engine = Engine::new()?;
    let examples = repository().join("policies/rego/examples");
    let mut compared = 0;
    for entry in std::fs::read_dir(&examples)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".input.json")) else { continue };
        let own = examples.join(format!("{name}.settings.json"));
        let data = json(&if own.exists() { own } else { examples.join("settings.json") })?;
        let input = json(&path)?;
        let expected = match by_opa_wasm(&theirs, &data, &input).await {
            Err(error) if TRAPS.iter().any(|trap| format!("{error:#}").contains(trap)) => continue,
            expected => expected?,
        };
        let ours = by_the_gateway(&engine, &wasm, &data, &input)?;
        for field in ["allow", "reasons", "tags"] {
            assert_eq!(ours[field], expected[field], "{name}");
        }
        compared += 1;
    }
    assert!(compared > 10, "only {compared} examples");
    Ok(())
}
