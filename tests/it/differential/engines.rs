//! The engines that decide.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use opa_wasm::wasmtime;
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine, EvalError};
use scalegate_tests::paths::repository;
use serde_json::{Value, json};

use super::Said;
use crate::modules::{VERDICT, opa};

/// A verdict of an engine; `None` where it has another shape, which the gateway denies.
fn verdict(said: Option<Value>) -> Said {
    said.filter(|verdict| {
        let texts = |field: &str| match &verdict[field] {
            Value::Array(texts) => texts.iter().all(Value::is_string),
            Value::Object(texts) => texts.values().all(Value::is_string),
            _ => false,
        };
        texts("reasons") && texts("tags")
    })
}

/// The gateway's host.
pub(super) struct Ours(Engine);

impl Ours {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Engine::new()?))
    }

    pub(super) fn load(&self, wasm: &[u8]) -> Result<Module> {
        let budget = Budget { deadline: Duration::from_secs(5), ..Budget::default() };
        Ok(Module::load(&self.0, wasm, budget, b"{}")?)
    }

    /// An error that is not about the verdict is the host's fault.
    /// `None` where OPA's own module aborts in arithmetic (`opa_arith_divide: invalid number`), which is a denial.
    pub(super) fn decide(module: &Module, question: &Value) -> Result<Option<Said>> {
        match module.evaluate(&serde_json::to_vec(question)?, Timestamp::UNIX_EPOCH) {
            Ok(evaluation) => {
                let verdict = evaluation.verdict;
                Ok(Some(Some(json!({ "allow": verdict.allow, "reasons": verdict.reasons, "tags": verdict.tags }))))
            }
            Err(EvalError::Undefined | EvalError::Malformed { .. }) => Ok(Some(None)),
            Err(EvalError::Abort(message)) if message.starts_with("opa_arith_") => Ok(None),
            Err(error) => Err(error).with_context(|| question.to_string()),
        }
    }
}

/// OPA's interpreter.
pub(super) struct Opa;

impl Opa {
    pub(super) fn decide(rules: &str, questions: &[Value]) -> Result<Vec<Said>> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("policy.rego"), format!("package scalegate\n\n{rules}\n"))?;
        std::fs::write(directory.path().join("questions.json"), json!({ "questions": questions }).to_string())?;
        let query = "{number: verdict | some number, question in data.questions; \
                     verdict := data.scalegate.verdict with input as question}";
        let mut eval = Command::new(opa()?);
        eval.args(["eval", "--format", "raw", "--data", "policy.rego", "--data", "questions.json", query]);
        let output = eval.current_dir(&directory).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let verdicts: Value = serde_json::from_slice(&output.stdout).context("opa eval")?;
        Ok((0..questions.len()).map(|number| verdict(verdicts.get(number.to_string()).cloned())).collect())
    }
}

/// The crate `opa-wasm`, which lacks many builtins and fails where OPA is undefined.
pub(super) struct OpaWasm {
    store: wasmtime::Store<()>,
    policy: opa_wasm::Policy<opa_wasm::DefaultContext>,
}

impl OpaWasm {
    /// `None` for a module that it cannot load.
    pub(super) async fn load(wasm: &[u8]) -> Option<Self> {
        let module = wasmtime::Module::new(&wasmtime::Engine::default(), wasm).ok()?;
        let mut store = wasmtime::Store::new(module.engine(), ());
        let runtime = opa_wasm::Runtime::new(&mut store, &module).await.ok()?;
        let policy = runtime.without_data(&mut store).await.ok()?;
        Some(Self { store, policy })
    }

    /// `None` where it fails.
    pub(super) async fn decide(&mut self, question: &Value) -> Option<Said> {
        let results: Value = self.policy.evaluate(&mut self.store, VERDICT, question).await.ok()?;
        Some(verdict(results.get(0).map(|result| result["result"].clone())))
    }
}

/// The program of `tests/regorus`.
pub(super) struct Regorus(PathBuf);

impl Regorus {
    pub(super) fn build() -> Result<Self> {
        let output = Command::new(repository().join("tests/regorus/build.sh")).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "tests/regorus/build.sh failed");
        Ok(Self(String::from_utf8(output.stdout)?.trim().into()))
    }

    /// `None` where it fails.
    pub(super) fn decide(&self, rules: &str, questions: &[Value]) -> Result<Vec<Option<Said>>> {
        let directory = tempfile::tempdir()?;
        let (policy, inputs) = (directory.path().join("policy.rego"), directory.path().join("questions.json"));
        std::fs::write(&policy, format!("package scalegate\n\n{rules}\n"))?;
        std::fs::write(&inputs, serde_json::to_vec(questions)?)?;
        let output = Command::new(&self.0).arg(&policy).arg(&inputs).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Vec<Value> = serde_json::from_slice(&output.stdout).context("regorus")?;
        ensure!(said.len() == questions.len(), "regorus decided {} questions", said.len());
        // An object with the verdict, an empty one for undefined, null for an error.
        Ok(said.into_iter().map(|one| one.is_object().then(|| verdict(one.get("verdict").cloned()))).collect())
    }
}
