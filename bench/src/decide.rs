//! What a decision takes: the gateway's modules, beside the same Rego in other engines.

mod in_process;
pub(crate) mod shape;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use scalegate_tests::paths::repository;
use serde_json::Value;

use in_process::{Engines, Loaded};
use shape::Shape;
use table::Decider;
pub(crate) use table::Decisions;

/// The engines and the policies.
pub(crate) struct Deciding {
    opa: PathBuf,
    regorus: PathBuf,
    shapes: Vec<(Shape, Loaded)>,
}

impl Deciding {
    /// Compiles the policies with `opa`, with files in `work`.
    pub(crate) async fn prepare(opa: &Path, work: &Path) -> Result<Self> {
        let built = run(&mut Command::new(repository().join("tests/regorus/build.sh")))?;
        let regorus = PathBuf::from(String::from_utf8(built.stdout)?.trim());
        let engines = Engines::start()?;
        let mut shapes = Vec::new();
        for shape in shape::example(opa, work)?.into_iter().chain(shape::made(opa, work)?) {
            let loaded = engines.load(&shape).await.context(shape.name)?;
            shapes.push((shape, loaded));
        }
        Ok(Self { opa: opa.to_owned(), regorus, shapes })
    }

    /// Measures each engine on each policy in turn, and adds what they took to `decisions`.
    pub(crate) async fn round(&mut self, decisions: &mut Decisions) -> Result<()> {
        for (shape, loaded) in &mut self.shapes {
            for decider in Decider::ALL {
                let micros = match decider {
                    Decider::Scalegate => Some(loaded.metered().await?),
                    Decider::Unmetered => Some(loaded.unmetered().await?),
                    Decider::OpaWasm => loaded.opa_wasm().await?,
                    Decider::Opa => Some(by_opa(&self.opa, shape).context(shape.name)?),
                    Decider::Regorus => Some(by_regorus(&self.regorus, shape).context(shape.name)?),
                };
                decisions.add(shape.name, decider, micros);
            }
        }
        Ok(())
    }
}

/// OPA's own measure of a prepared query, in microseconds.
fn by_opa(opa: &Path, shape: &Shape) -> Result<f64> {
    let mut bench = Command::new(opa);
    bench.args(["bench", "--format", "json", "--input"]).arg(&shape.input).arg("--data").arg(&shape.data);
    for policy in &shape.rego {
        bench.arg("--data").arg(policy);
    }
    let result: Value = serde_json::from_slice(&run(bench.arg("data.scalegate.verdict"))?.stdout)?;
    let median = result["Extra"]["histogram_timer_rego_query_eval_ns_median"].as_f64();
    Ok(median.context("opa bench gives no median")? / 1e3)
}

/// The median that the program of `tests/regorus` measures, in microseconds.
fn by_regorus(regorus: &Path, shape: &Shape) -> Result<f64> {
    let policies: Vec<_> = shape.rego.iter().map(|path| path.display().to_string()).collect();
    let mut decide = Command::new(regorus);
    let output = run(decide.arg(policies.join(",")).arg(&shape.questions).arg(&shape.data))?;
    Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()? / 1e3)
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("run {}", command.get_program().display()))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    Ok(output)
}
