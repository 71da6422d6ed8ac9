//! `scalegate check-policies`: what is wrong with a directory of policies, before a gateway meets it, and what they say
//! to one question.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use serde_json::Value;
use uuid::Uuid;

use super::Failure;
use crate::audit;
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
    let text = read(file)?;
    let Some(decision) = &args.decision else {
        return decide(set, &text, args.at.unwrap_or_else(Timestamp::now));
    };
    let recorded = recorded(&text, decision)?;
    let allowed = decide(set, &recorded.question, recorded.instant)?;
    let same = if recorded.policy_set == set.digest().as_str() { "this set" } else { "another set" };
    writeln!(std::io::stderr(), "the record says {}, by {same} ({})", recorded.outcome, recorded.policy_set)?;
    Ok(allowed)
}

/// A decision, as its record has it.
struct Recorded {
    question: String,
    instant: Timestamp,
    outcome: String,
    policy_set: String,
}

fn load(directory: &Path) -> Result<PolicySet> {
    Ok(PolicySet::load(&Engine::new()?, directory)?)
}

/// The text of a file; what is not UTF-8 in it, as where a write broke off, is replaced.
fn read(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    match path.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut bytes)?,
        _ => std::fs::File::open(path)?.read_to_end(&mut bytes)?,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn decision_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "it takes a decision id, such as 01a217c3-969b-7292-bc39-95649164695f".to_owned())
}

/// The record of a decision.
fn recorded(records: &str, decision: &Uuid) -> Result<Recorded> {
    let records: Vec<Value> = records.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str, field: &str, value: &str| {
        let mut all = records.iter().filter(|record| record["kind"] == kind);
        all.find(|record| record[field] == value && record["schema"] == audit::SCHEMA)
    };
    let id = decision.to_string();
    if of("list", "decisionId", &id).is_some() {
        bail!("{id} is a list: its decisions have no records of their own, so they cannot be made again");
    }
    let record = of("decision", "decisionId", &id).with_context(|| format!("no record of decision {id}"))?;
    let instant = record["instant"].as_str().unwrap_or_default().parse().context("a record without an instant")?;
    let input = match record["inputSha256"].as_str() {
        None => &record["input"],
        Some(sha256) => {
            let input = of("input", "sha256", sha256);
            &input.with_context(|| {
                format!(
                    "no record of input {sha256}: give it the earlier records too, unless the input was over 16 KiB"
                )
            })?["input"]
        }
    };
    let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
    if let Some(cause) = record["cause"].as_str() {
        bail!("decision {id} has no verdict that could be made again: {cause}");
    }
    Ok(Recorded { question: input.to_string(), instant, outcome: text("outcome"), policy_set: text("policySet") })
}

fn decide(set: &PolicySet, document: &str, now: Timestamp) -> Result<bool> {
    let trial = policy::try_out(set, document, now)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&trial)?)?;
    Ok(trial.allow)
}
