//! `scalegate policy eval`: what a set says to one question.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use uuid::Uuid;

use super::super::{Failure, input, output, records};
use super::load;
use crate::policy::{self, PolicySet};

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EvalArgs {
    /// The directory with policies.yaml
    directory: PathBuf,
    /// The question, the document that policies read (JSON); - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "decision")]
    input: Option<PathBuf>,
    /// Decide the decision of this id again, as of its instant, from its audit record
    #[arg(long, value_name = "ID", value_parser = decision_id, requires = "records", conflicts_with_all = ["input", "at"])]
    decision: Option<Uuid>,
    /// The file with the audit records, or - for standard input; lines that are no audit records are skipped
    #[arg(long, value_name = "FILE", requires = "decision")]
    records: Option<PathBuf>,
    /// Decide it as of this instant (RFC 3339) instead of now
    #[arg(long, value_name = "INSTANT", requires = "input")]
    at: Option<Timestamp>,
}

/// Prints what the set says.
pub(super) fn eval(args: &EvalArgs) -> Result<(), Failure> {
    let set = load(&args.directory)?;
    let file = args.input.as_ref().or(args.records.as_ref()).context("no question: give --input")?;
    let allowed = answer(&set, args, file).with_context(|| file.display().to_string())?;
    if allowed { Ok(()) } else { Err(Failure::Refused) }
}

fn answer(set: &PolicySet, args: &EvalArgs, file: &Path) -> Result<bool> {
    let Some(decision) = &args.decision else {
        return decide(set, &input::read(file)?, args.at.unwrap_or_else(Timestamp::now));
    };
    let recorded = records::recorded(file, decision)?;
    let allowed = decide(set, &recorded.question, recorded.instant)?;
    let same = if recorded.policy_set == set.digest().as_str() { "this set" } else { "another set" };
    output::note(&format!("the record says {}, by {same} ({})", recorded.outcome, recorded.policy_set))?;
    Ok(allowed)
}

fn decision_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "it takes a decision id, such as 01a217c3-969b-7292-bc39-95649164695f".to_owned())
}

fn decide(set: &PolicySet, document: &str, now: Timestamp) -> Result<bool> {
    let trial = policy::try_out(set, document, now)?;
    output::print_json(&trial)?;
    Ok(trial.allow)
}
