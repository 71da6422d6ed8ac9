//! `scalegate check-policies`: what is wrong with a directory of policies, before a gateway meets it, and what they say
//! to one question.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
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
    #[arg(long, value_name = "ID", requires = "records", conflicts_with_all = ["input", "at"])]
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
    let (document, now) = match &args.decision {
        None => (text, args.at.unwrap_or_else(Timestamp::now)),
        Some(decision) => recorded(&text, decision)?,
    };
    decide(set, &document, now)
}

fn load(directory: &Path) -> Result<PolicySet> {
    Ok(PolicySet::load(&Engine::new()?, directory)?)
}

fn read(path: &Path) -> Result<String> {
    Ok(match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(path),
    }?)
}

/// The question of a recorded decision, and its instant.
fn recorded(records: &str, decision: &Uuid) -> Result<(String, Timestamp)> {
    let records: Vec<Value> = records.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |kind: &str, field: &str, value: &str| {
        let mut all = records.iter().filter(|record| record["kind"] == kind);
        all.find(|record| record[field] == value && record["schema"] == audit::SCHEMA)
    };
    let id = decision.to_string();
    let record = of("decision", "decisionId", &id).with_context(|| format!("no record of decision {id}"))?;
    let instant = record["instant"].as_str().unwrap_or_default().parse().context("a record without an instant")?;
    let input = match record["inputSha256"].as_str() {
        None => &record["input"],
        Some(sha256) => {
            let input = of("input", "sha256", sha256);
            &input.with_context(|| format!("no record of input {sha256}: look in the records of earlier"))?["input"]
        }
    };
    Ok((input.to_string(), instant))
}

fn decide(set: &PolicySet, document: &str, now: Timestamp) -> Result<bool> {
    let trial = policy::try_out(set, document, now)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&trial)?)?;
    Ok(trial.allow)
}
