//! The engines that run in this process, all on the same wasmtime: the gateway's, which makes an instance for each
//! evaluation, with and without its limits; and the crate `opa-wasm`, which reuses one instance without limits.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use opa_wasm::wasmtime::{self, Store};
use opa_wasm::{DefaultContext, Policy, Runtime};
use scalegate::policy::document::Verdict;
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine};
use scalegate_tests::load::percentile;
use serde_json::Value;

use super::shape::Shape;

/// How many decisions run before they are measured, and for how long they are.
const WARM_UP: usize = 20;
const MEASURED: Duration = Duration::from_secs(1);

/// The gateway's engines, with limits and without.
pub(super) struct Engines {
    metered: Engine,
    unmetered: Engine,
}

/// A policy and its question in each engine.
pub(super) struct Loaded {
    question: String,
    metered: Module,
    unmetered: Module,
    /// `None` where the crate lacks a builtin of the policy's.
    opa_wasm: Option<OpaWasm>,
}

/// An instance of the crate's, which resets its heap before each evaluation.
struct OpaWasm {
    store: Store<()>,
    policy: Policy<DefaultContext>,
    question: Value,
}

impl Engines {
    pub(super) fn start() -> Result<Self> {
        Ok(Self { metered: Engine::new()?, unmetered: Engine::unmetered()? })
    }

    pub(super) async fn load(&self, shape: &Shape) -> Result<Loaded> {
        let (wasm, data) = (fs::read(&shape.module)?, fs::read_to_string(&shape.data)?);
        let question: Value = serde_json::from_str(&fs::read_to_string(&shape.input)?)?;
        let budget = Budget { deadline: Duration::from_secs(1), ..Budget::default() };
        let load = |engine| Module::load(engine, &wasm, budget, data.as_bytes());
        let (metered, unmetered) = (load(&self.metered)?, load(&self.unmetered)?);
        let verdict = metered.evaluate(question.to_string().as_bytes(), Timestamp::now())?.verdict;
        let opa_wasm = OpaWasm::load(&wasm, &serde_json::from_str(&data)?, question.clone(), &verdict).await;
        Ok(Loaded { question: question.to_string(), metered, unmetered, opa_wasm })
    }
}

impl Loaded {
    /// The median decision of the gateway, in microseconds. As all of these.
    pub(super) async fn metered(&self) -> Result<f64> {
        self.median_of(&self.metered).await
    }

    /// The same with neither deadline nor bound of memory.
    pub(super) async fn unmetered(&self) -> Result<f64> {
        self.median_of(&self.unmetered).await
    }

    async fn median_of(&self, module: &Module) -> Result<f64> {
        let (question, now) = (self.question.as_bytes(), Timestamp::now());
        median(async || Ok(module.evaluate(question, now)?.verdict)).await
    }

    /// The crate's, which includes writing the question as JSON: about a microsecond.
    pub(super) async fn opa_wasm(&mut self) -> Result<Option<f64>> {
        let Some(instance) = &mut self.opa_wasm else { return Ok(None) };
        median(async || instance.decide().await).await.map(Some)
    }
}

impl OpaWasm {
    /// `None` where it does not decide as the gateway does.
    async fn load(wasm: &[u8], data: &Value, question: Value, verdict: &Verdict) -> Option<Self> {
        let module = wasmtime::Module::new(&wasmtime::Engine::default(), wasm).ok()?;
        let mut store = Store::new(module.engine(), ());
        let runtime = Runtime::new(&mut store, &module).await.ok()?;
        let policy = runtime.with_data(&mut store, data).await.ok()?;
        let mut loaded = Self { store, policy, question };
        let same = loaded.decide().await.is_ok_and(|its| its == *verdict);
        same.then_some(loaded)
    }

    async fn decide(&mut self) -> Result<Verdict> {
        let mut results: Vec<BTreeMap<String, Verdict>> =
            self.policy.evaluate(&mut self.store, "scalegate/verdict", &self.question).await?;
        results.pop().and_then(|mut result| result.remove("result")).context("opa-wasm gives no verdict")
    }
}

/// The median time of `decide`, in microseconds.
async fn median(mut decide: impl AsyncFnMut() -> Result<Verdict>) -> Result<f64> {
    for _ in 0..WARM_UP {
        decide().await?;
    }
    let (mut times, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < MEASURED {
        let start = Instant::now();
        decide().await?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(percentile(&times, 50).as_secs_f64() * 1e6)
}
