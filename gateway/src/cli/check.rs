//! `scalegate check-policies`: what is wrong with a directory of policies, before a gateway meets it, and what they say
//! to one question.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::Failure;
use crate::policy::{self, Engine, PolicySet};

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The directory with policies.yaml
    directory: PathBuf,
    /// Decide this question, the document that policies read (JSON): exit code 0 if it is allowed, 3 if it is refused
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Decide it as of this instant (RFC 3339) instead of now
    #[arg(long, value_name = "INSTANT", requires = "input")]
    at: Option<Timestamp>,
}

/// Loads the set, of which the error says everything that is wrong, and prints its digest or what it says to the question.
pub(super) fn check_policies(args: &CheckArgs) -> Result<(), Failure> {
    let set = load(&args.directory)?;
    let Some(input) = &args.input else {
        return super::print(&format!(
            "{}: a good set of policies, digest {}\n",
            args.directory.display(),
            set.digest()
        ));
    };
    if decide(&set, input, args.at.unwrap_or_else(Timestamp::now))? { Ok(()) } else { Err(Failure::Refused) }
}

fn load(directory: &Path) -> Result<PolicySet> {
    Ok(PolicySet::load(&Engine::new()?, directory)?)
}

fn decide(set: &PolicySet, input: &Path, now: Timestamp) -> Result<bool> {
    let document = std::fs::read_to_string(input).with_context(|| input.display().to_string())?;
    let trial = policy::try_out(set, &document, now).with_context(|| input.display().to_string())?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&trial)?)?;
    Ok(trial.allow)
}
