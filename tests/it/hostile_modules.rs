//! Modules that mean harm: a gateway refuses them, or answers 503 for them, and goes on as before.

mod changed;
mod guest;
mod memory;
mod table;
mod updates;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use scalegate_tests::gateway::Gateway;
use scalegate_tests::policies::copy;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::{Value, json};

use self::table::{Hostile, hostile};
use crate::modules::{File, sha256, write_set};
use crate::soak;

/// The least number of hostile modules.
const LEAST: usize = 60;

/// Writes a set of these modules, each of which decides about a namespace of its own name.
fn write(directory: &Path, modules: &[Hostile]) -> Result<()> {
    let entry = |number: usize, module: &Hostile| {
        // What never ends is ended both ways: on the threads that serve, and in slots. What else is wrong comes first.
        let is_endless = module.told.contains("longer than its deadline");
        let deadline = ["1s", "5ms", "20ms"][if is_endless { 1 + number % 2 } else { 0 }];
        json!({
            "name": module.name, "module": format!("{}.wasm", module.name), "sha256": sha256(&module.wasm),
            "mode": "enforce", "match": { "namespaces": [module.name] }, "budget": { "deadline": deadline },
        })
    };
    let entries: Vec<_> = modules.iter().enumerate().map(|(number, module)| entry(number, module)).collect();
    let files: Vec<File> =
        modules.iter().map(|module| (format!("{}.wasm", module.name), module.wasm.clone())).collect();
    write_set(directory, &json!({ "modules": entries }).to_string(), &files)
}

async fn policies(gateway: &Gateway) -> Result<Value> {
    let (_, status) = gateway.admin("/status").await?;
    Ok(serde_json::from_str::<Value>(&status)?["policies"].clone())
}

/// Waits until the set with the first of `modules` was loaded, or was not; what is said of it then.
async fn loaded(gateway: &Gateway, modules: &[Hostile]) -> Result<Option<String>> {
    let first = modules.first().context("no modules")?;
    poll::eventually("the set to be loaded", async || {
        let status = policies(gateway).await?;
        if let Some(error) = status["lastError"]["message"].as_str() {
            return Ok(Some(Some(error.to_owned())).filter(|_| error.contains(&format!("module {:?}", first.name))));
        }
        Ok((status["modules"][0]["name"] == first.name.as_str()).then_some(None))
    })
    .await
}

/// Every module of `at_load` is refused by name and cause, and the last good set serves on.
async fn refused(gateway: &Gateway, directory: &Path, at_load: &[Hostile]) -> Result<()> {
    write(directory, at_load)?;
    let error = loaded(gateway, at_load).await?.context("modules that nobody may load were loaded")?;
    let mut wrong = Vec::new();
    for Hostile { name, what, told, .. } in at_load {
        let cause = error.split("; module ").find(|cause| cause.contains(&format!("{name:?} (")));
        if !cause.is_some_and(|cause| cause.contains(told.as_str())) {
            wrong.push(format!("{what}: {cause:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    looks(gateway).await
}

/// The good set lets the viewer look at what is not there.
async fn looks(gateway: &Gateway) -> Result<()> {
    let read = gateway.client("viewer")?.get(&suite::replicas("default", "web")).await?;
    ensure!(read.status == 404, "{}", read.json());
    Ok(())
}

/// Puts a good set in the place of another, and sees that it serves.
async fn good(gateway: &Gateway, directory: &Path) -> Result<()> {
    copy("normal", directory)?;
    poll::eventually("the good set", async || {
        let status = policies(gateway).await?;
        Ok((status["modules"][0]["name"] == "scalegate" && status["lastError"].is_null()).then_some(()))
    })
    .await?;
    looks(gateway).await
}

/// No module of `asked` allows what a client asks for, and each decision's record says why.
async fn failed(gateway: &Gateway, directory: &Path, asked: &[Hostile]) -> Result<()> {
    write(directory, asked)?;
    if let Some(error) = loaded(gateway, asked).await? {
        anyhow::bail!("modules that behave well at load are refused: {error}");
    }
    let mut viewer = gateway.client("viewer")?.http1().await?;
    let mut wrong = Vec::new();
    for Hostile { name, what, told, .. } in asked {
        let answer = viewer.get(&suite::replicas(name, "web")).await?;
        if (answer.status, answer.code().as_str()) != (503, "policy_unavailable") {
            wrong.push(format!("{what}: {}", answer.json()));
            continue;
        }
        let request = answer.header("x-request-id");
        let record = poll::eventually("the record", async || {
            Ok(gateway.records().into_iter().rev().find(|record| record["requestId"] == request))
        })
        .await?;
        let cause = record["cause"].as_str().context("a decision without a verdict has no cause")?;
        if !cause.starts_with(&format!("policy {name}: ")) || !cause.contains(told.as_str()) {
            wrong.push(format!("{what}: {cause}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[tokio::test]
async fn no_hostile_module_allows_anything_or_ends_a_gateway() -> Result<()> {
    let [at_load, asked] = hostile()?;
    assert!(at_load.len() + asked.len() >= LEAST);
    let suite = suite::exclusive().await?;
    let directory = suite.directory("hostile-modules-policies")?;
    copy("normal", &directory)?;
    let mut options = suite.options("hostile-modules");
    options.policies.clone_from(&directory);
    let gateway = suite.start(&options).await?;
    for _ in 0..soak::or(1, 30) {
        refused(&gateway, &directory, &at_load).await?;
        failed(&gateway, &directory, &asked).await?;
        good(&gateway, &directory).await?;
    }
    let panics = gateway.log().iter().filter(|line| line.to_string().contains("panicked")).count();
    assert_eq!((panics, gateway.is_running()), (0, true));
    println!("{} modules were refused, {} gave no verdict", at_load.len(), asked.len());
    gateway.terminate().await
}
