//! `scalegate policy bench`: what it costs to decide one question.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::{input, output};
use super::{load, of_deadline, width};
use crate::policy::{self, ModuleCost};

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BenchArgs {
    /// The directory with policies.yaml
    directory: PathBuf,
    /// The question, the document that policies read (JSON); - for standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// For how long each module is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints what each module costs, beside its budget.
pub(super) fn bench(args: &BenchArgs) -> Result<()> {
    let set = load(&args.directory)?;
    let document = input::read(&args.input)?;
    let costs = policy::measure(&set, &document, Duration::from_secs(args.seconds));
    let costs = costs.with_context(|| args.input.display().to_string())?;
    let printed = if args.json { output::print_json(&costs) } else { output::print(&table(&costs)) };
    Ok(printed?)
}

fn table(costs: &[ModuleCost]) -> String {
    let wide = width("MODULE", costs.iter().map(|cost| cost.module.as_str()));
    let mut text = format!(
        "{:wide$}  {:>9}  {:>9}  {:>9}  {:>16}  {:>20}\n",
        "MODULE", "P50", "P99", "CPU", "OF DEADLINE", "MEMORY"
    );
    for cost in costs {
        let of_deadline = of_deadline(cost.cpu_micros, cost.deadline_micros);
        let memory = format!("{:.1} of {:.0} MiB", mebibytes(cost.memory_bytes), mebibytes(cost.most_memory_bytes));
        let [p50, p99, cpu] =
            [cost.p50_micros, cost.p99_micros, cost.cpu_micros].map(|micros| format!("{micros:.1} µs"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:wide$}  {p50:>9}  {p99:>9}  {cpu:>9}  {of_deadline:>16}  {memory:>20}", cost.module);
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit behind the point")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_shown_beside_its_budget() {
        let cost = |module: &str, micros: f64| ModuleCost {
            module: module.to_owned(),
            evaluations: 1000,
            p50_micros: micros,
            p99_micros: 3.0 * micros,
            cpu_micros: micros,
            deadline_micros: 5000.0,
            memory_bytes: 1 << 20,
            most_memory_bytes: 16 << 20,
        };
        insta::assert_snapshot!("costs", table(&[cost("roles", 34.4), cost("business-hours", 1234.5)]));
    }
}
