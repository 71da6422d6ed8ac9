//! What hostile modules leave behind in a process that does nothing else.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use scalegate::policy::{Engine, PolicySet, TrialError, try_out};
use scalegate_tests::paths::repository;
use serde_json::Value;
use tempfile::TempDir;

use super::table::{Hostile, filling, hostile};
use crate::soak;

/// How much more memory the process may have after a later round than after the first, as a part of that.
const GROWTH: f64 = 0.05;

/// The name of [`rounds`], which runs in a process of its own.
const ROUNDS: &str = "hostile_modules::memory::rounds";

/// What a client asks of the module that decides about the namespace `name`.
fn question(name: &str) -> Result<String> {
    let example = std::fs::read(repository().join("policies/rego/examples/operator-sets.input.json"))?;
    let mut question: Value = serde_json::from_slice(&example)?;
    question["target"]["namespace"] = name.into();
    Ok(question.to_string())
}

/// Loads a module and asks it; what is said of it.
fn verdict(engine: &Engine, hostile: &Hostile) -> Result<String> {
    let directory = TempDir::new()?;
    super::write(directory.path(), std::slice::from_ref(hostile))?;
    let set = match PolicySet::load(engine, directory.path()) {
        Ok(set) => set,
        Err(error) => return Ok(error.to_string()),
    };
    match try_out(&set, &question(&hostile.name)?, Timestamp::now()) {
        Err(TrialError::Unavailable(cause)) => Ok(cause),
        other => bail!("{}: {other:?}", hostile.what),
    }
}

/// The memory of this process, in KiB.
fn memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[test]
#[ignore = "it measures its process, so another test runs it in one of its own"]
fn rounds() -> Result<()> {
    let engine = Engine::new()?;
    let all = hostile()?.into_iter().flatten().collect::<Vec<_>>();
    for module in filling()? {
        verdict(&engine, &module)?;
    }
    let mut after = Vec::new();
    for _ in 0..soak::or(2, 50) {
        for module in &all {
            let said = verdict(&engine, module)?;
            ensure!(said.contains(&module.told), "{}: {said}", module.what);
        }
        after.push(memory()?);
    }
    println!("KiB after each round of {} modules: {after:?}", all.len());
    ensure!(after.iter().all(|memory| *memory <= after[0] * (1.0 + GROWTH)), "{after:?}");
    Ok(())
}

#[test]
fn hostile_modules_leave_no_memory_behind() -> Result<()> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).args(["--exact", ROUNDS, "--ignored", "--nocapture"]).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    assert!(output.status.success() && printed.contains("1 passed"), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
