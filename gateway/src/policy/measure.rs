//! What deciding a question costs, for authors of policies.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::rego::worked;
use super::set::{BoundModule, Matching, PolicySet};
use super::trial::{self, TrialError};
use super::verdict::Question;

/// How many evaluations run before the measurement, to load the module's code and memory into the processor's caches.
const WARM_UP: usize = 20;

/// The most evaluations of a module that are measured.
const MOST: usize = 200_000;

/// The most evaluations of a question that was asked at load, and how long they may take together.
const PROBES: (usize, Duration) = (101, Duration::from_millis(200));

/// What a question costs that a module was asked when it was loaded.
#[derive(Debug)]
pub struct ProbeCost {
    /// The module's name in `policies.yaml`.
    pub module: String,
    /// The question's action.
    pub action: &'static str,
    /// The processor time of an evaluation, the median of some, in microseconds: what counts against the deadline.
    pub cpu_micros: f64,
    /// The module's `budget.deadline`, in microseconds.
    pub deadline_micros: f64,
}

/// What one module costs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleCost {
    /// Its name in `policies.yaml`.
    pub module: String,
    /// How many evaluations were measured.
    pub evaluations: usize,
    /// The median time of an evaluation, in microseconds.
    pub p50_micros: f64,
    /// The time that 99 of 100 evaluations do not exceed, in microseconds.
    pub p99_micros: f64,
    /// The processor time of an evaluation, in microseconds: what counts against the deadline.
    pub cpu_micros: f64,
    /// Its `budget.deadline`, in microseconds.
    pub deadline_micros: f64,
    /// The linear memory with which an evaluation ends, in bytes.
    pub memory_bytes: usize,
    /// Its `budget.memoryBytes`.
    pub most_memory_bytes: usize,
}

/// Asks each module of `set` the questions that it was asked when it was loaded, some times each.
pub fn measure_probes(set: &PolicySet) -> Vec<ProbeCost> {
    set.modules().iter().flat_map(of_module).collect()
}

fn of_module(module: &BoundModule) -> impl Iterator<Item = ProbeCost> {
    let now = Timestamp::now();
    // A document of ours that has no JSON would have kept the module from being loaded.
    let questions = module.probes().filter_map(|input| Question::new(input).ok());
    questions.map(move |Question { input, json }| ProbeCost {
        module: module.name.clone(),
        action: input.action.name(),
        // A question for which the time no longer suffices took all of it.
        cpu_micros: micros(median(|| drop(module.module.evaluate(json.as_bytes(), now)))),
        deadline_micros: micros(module.deadline),
    })
}

/// The median processor time of some runs of `evaluate`, one at least.
fn median(evaluate: impl Fn()) -> Duration {
    let (most, longest) = PROBES;
    let (mut times, begun) = (Vec::new(), Instant::now());
    while times.is_empty() || times.len() < most && begun.elapsed() < longest {
        let before = worked();
        evaluate();
        times.push(worked().saturating_sub(before));
    }
    times.sort();
    times[times.len() / 2]
}

/// Asks each module of `set` that matches the question `document`, an [`Input`](super::document::Input) in JSON, again
/// and again for as long as `time`.
///
/// # Errors
///
/// Where the document is not what a gateway would ask, no module matches it, or one cannot answer.
pub fn measure(set: &PolicySet, document: &str, time: Duration) -> Result<Vec<ModuleCost>, TrialError> {
    let question = trial::question(document)?;
    let now = Timestamp::now();
    let mut costs = Vec::new();
    for module in set.modules().iter().filter(|module| module.matches(&question.input) == Matching::Yes) {
        let evaluate = || {
            let evaluation = module.module.decide(question.json.as_bytes(), now);
            evaluation.map_err(|error| TrialError::Unavailable(format!("policy {}: {error}", module.name)))
        };
        for _ in 0..WARM_UP {
            evaluate()?;
        }
        let (mut times, mut memory_bytes) = (Vec::new(), 0);
        let (begun, before) = (Instant::now(), worked());
        while begun.elapsed() < time && times.len() < MOST {
            let start = Instant::now();
            memory_bytes = evaluate()?.memory_bytes;
            times.push(start.elapsed());
        }
        let cpu = worked().saturating_sub(before);
        times.sort();
        let budget = module.module.budget();
        costs.push(ModuleCost {
            module: module.name.clone(),
            evaluations: times.len(),
            p50_micros: micros(times[times.len() / 2]),
            p99_micros: micros(times[times.len() * 99 / 100]),
            cpu_micros: micros(cpu) / f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX)),
            deadline_micros: micros(budget.deadline),
            memory_bytes,
            most_memory_bytes: budget.memory_bytes,
        });
    }
    if costs.is_empty() { Err(TrialError::Unmatched) } else { Ok(costs) }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
