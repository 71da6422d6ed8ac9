//! `scalegate check-policies`: what is wrong with a directory of policies, before a gateway meets it, and what they say
//! to one question.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Failure, output, records};
use crate::policy::{self, Engine, PolicySet};

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The directory with policies.yaml
    directory: PathBuf,
    /// Decide this question, the document that policies read (JSON): exit code 0 if it is allowed, 3 if it is refused
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Decide the decision of this id again, as of its instant, from its audit record: exit codes as for --input
    #[arg(long, value_name = "ID", value_parser = decision_id, requires = "records", conflicts_with_all = ["input", "at"])]
    decision: Option<Uuid>,
    /// The file with the audit records, or - for standard input; lines that are no audit records are skipped
    #[arg(long, value_name = "FILE", requires = "decision")]
    records: Option<PathBuf>,
    /// Decide it as of this instant (RFC 3339) instead of now
    #[arg(long, value_name = "INSTANT", requires = "input")]
    at: Option<Timestamp>,
}

/// Loads the set, of which the error says everything that is wrong, and prints its digest or what it says to the question.
pub(super) fn check_policies(args: &CheckArgs) -> Result<(), Failure> {
    let set = load(&args.directory)?;
    let Some(file) = args.input.as_ref().or(args.records.as_ref()) else {
        return super::print(&format!(
            "{}: a good set of policies, digest {}\n",
            args.directory.display(),
            set.digest()
        ));
    };
    let allowed = answer(&set, args, file).with_context(|| file.display().to_string())?;
    if allowed { Ok(()) } else { Err(Failure::Refused) }
}

fn answer(set: &PolicySet, args: &CheckArgs, file: &Path) -> Result<bool> {
    let Some(decision) = &args.decision else {
        return decide(set, &read(file)?, args.at.unwrap_or_else(Timestamp::now));
    };
    let recorded = records::recorded(file, decision)?;
    let allowed = decide(set, &recorded.question, recorded.instant)?;
    let same = if recorded.policy_set == set.digest().as_str() { "this set" } else { "another set" };
    output::note(&format!("the record says {}, by {same} ({})", recorded.outcome, recorded.policy_set))?;
    Ok(allowed)
}

fn load(directory: &Path) -> Result<PolicySet> {
    Ok(PolicySet::load(&Engine::new()?, directory)?)
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text)?,
        _ => std::fs::File::open(path)?.read_to_string(&mut text)?,
    };
    Ok(text)
}

fn decision_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "it takes a decision id, such as 01a217c3-969b-7292-bc39-95649164695f".to_owned())
}

fn decide(set: &PolicySet, document: &str, now: Timestamp) -> Result<bool> {
    let trial = policy::try_out(set, document, now)?;
    output::print_json(&trial)?;
    Ok(trial.allow)
}
