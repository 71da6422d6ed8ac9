//! `scalegate policy`: what authors of policies need, without a gateway.

mod bench;
mod check;
mod eval;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Subcommand;

use super::{Failure, output};
use crate::policy::{self, Engine, PolicySet, document, rego};

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Load a directory of policies as the gateway would, and say what is wrong with it, or what each question costs
    Check {
        /// The directory with policies.yaml
        directory: PathBuf,
    },
    /// Decide a question by a directory of policies: exit code 0 if it is allowed, 3 if it is refused
    Eval(eval::EvalArgs),
    /// Measure what it costs each module to decide a question
    Bench(bench::BenchArgs),
    /// Say what a directory of policies is made of, as JSON: digests, builtins, sizes and budgets
    Inspect {
        /// The directory with policies.yaml
        directory: PathBuf,
    },
    /// Print the JSON Schema of what policies read and answer
    Schema,
    /// Print the capabilities file for `opa check`, `opa test` and `opa build`
    Capabilities,
    /// Print where each of OPA's builtins is, in Markdown
    Builtins,
}

pub(super) fn run(command: &PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check { directory } => {
            let set = load(directory)?;
            super::print(&check::report(directory, &set))
        }
        PolicyCommand::Eval(args) => eval::eval(args),
        PolicyCommand::Bench(args) => Ok(bench::bench(args)?),
        PolicyCommand::Inspect { directory } => {
            let set = load(directory)?;
            Ok(output::print_json(&policy::inspect(&set)).map_err(anyhow::Error::from)?)
        }
        PolicyCommand::Schema => super::print(&document::schema()),
        PolicyCommand::Capabilities => super::print(&rego::capabilities()),
        PolicyCommand::Builtins => super::print(&rego::builtins_page()),
    }
}

/// The wider of a column's title and its texts.
fn width<'a>(title: &str, texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(str::len).max().unwrap_or_default().max(title.len())
}

/// How much of a module's deadline an evaluation takes.
fn of_deadline(cpu_micros: f64, deadline_micros: f64) -> String {
    format!("{:.1} % of {:.0} ms", 100.0 * cpu_micros / deadline_micros, deadline_micros / 1e3)
}

/// Loads a set. The error says everything that is wrong with it.
fn load(directory: &Path) -> Result<PolicySet> {
    Ok(PolicySet::load(&Engine::new()?, directory)?)
}
