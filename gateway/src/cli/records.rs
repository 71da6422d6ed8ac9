//! Finds a decision in a file of audit records, which may be as long as it likes: a line at a time is in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::audit;

/// The longest line that can be a record: an input of a change, and what many modules say. A longer one is skipped.
const MAX_LINE: u64 = 4 << 20;

/// A decision, as its record has it.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) question: String,
    pub(super) instant: Timestamp,
    pub(super) outcome: String,
    pub(super) policy_set: String,
}

/// The record of a decision in a file, or in standard input if `path` is `-`.
pub(super) fn recorded(path: &Path, decision: &Uuid) -> Result<Recorded> {
    let mut file = open(path)?;
    let id = decision.to_string();
    let named =
        |record: &Value| record["decisionId"] == id && ["decision", "list"].iter().any(|it| record["kind"] == *it);
    let record = find(&mut file, named)?.with_context(|| format!("no record of decision {id}"))?;
    if record["kind"] == "list" {
        bail!("{id} is a list: its decisions have no records of their own, so they cannot be made again");
    }
    if let Some(cause) = record["cause"].as_str() {
        bail!("decision {id} has no verdict that could be made again: {cause}");
    }
    readable(&record, &id)?;
    let instant = record["instant"].as_str().unwrap_or_default().parse().context("a record without an instant")?;
    let input = match record["inputSha256"].as_str() {
        None => record["input"].to_string(),
        Some(sha256) => input(&mut file, sha256)?,
    };
    let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
    Ok(Recorded { question: input, instant, outcome: text("outcome"), policy_set: text("policySet") })
}

/// The input that records name by its digest.
fn input(file: &mut File, sha256: &str) -> Result<String> {
    file.rewind()?;
    let found = find(file, |record| record["kind"] == "input" && record["sha256"] == sha256)?;
    let missing =
        || format!("no record of input {sha256}: give it the earlier records too, unless the input was over 16 KiB");
    Ok(found.with_context(missing)?["input"].to_string())
}

/// Checks that the input has its values, and not their hashes.
fn readable(record: &Value, id: &str) -> Result<()> {
    let redacted = record["redacted"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let hidden: Vec<_> = redacted.filter(|field| *field != "peer").collect();
    ensure!(
        hidden.is_empty(),
        "decision {id} cannot be made again: its record has hashes in place of {} (audit.redact)",
        hidden.join(", ")
    );
    Ok(())
}

/// The file, from its beginning. What cannot be read twice is kept in a temporary file.
fn open(path: &Path) -> Result<File> {
    let mut file = if path == Path::new("-") { stdin()? } else { File::open(path)? };
    if file.rewind().is_ok() {
        return Ok(file);
    }
    let mut kept = tempfile::tempfile().context("no temporary file for the records")?;
    io::copy(&mut file, &mut kept)?;
    kept.rewind()?;
    Ok(kept)
}

fn stdin() -> io::Result<File> {
    use std::os::fd::AsFd;

    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// The first record of this gateway's schema that `wanted` accepts. Other lines, such as those of a log or one that was
/// never finished, are skipped.
fn find(file: &mut File, wanted: impl Fn(&Value) -> bool) -> io::Result<Option<Value>> {
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == MAX_LINE && !line.ends_with(b"\n") {
            lines.skip_until(b'\n')?;
            continue;
        }
        let record = serde_json::from_slice(&line).ok();
        if let Some(record) = record.filter(|record: &Value| record["schema"] == audit::SCHEMA && wanted(record)) {
            return Ok(Some(record));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::io::Write;

    use serde_json::json;

    use super::*;

    const ID: &str = "01a217c3-969b-7292-bc39-95649164695f";

    fn records(more: &Value) -> Vec<u8> {
        let mut decision = json!({
            "schema": audit::SCHEMA, "kind": "decision", "decisionId": ID, "instant": "2026-11-22T12:00:00Z",
            "outcome": "allowed", "policySet": "ab", "inputSha256": "cd",
        });
        decision.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let input = json!({"schema": audit::SCHEMA, "kind": "input", "sha256": "cd", "input": {"a": 1}});
        format!("a line of a log\n{{\"half\": \n{input}\n{decision}\n").into_bytes()
    }

    fn found(text: &[u8]) -> Result<Recorded> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        recorded(file.path(), &ID.parse().unwrap())
    }

    #[test]
    fn a_decision_is_found_with_the_input_that_it_names() {
        let found = found(&records(&json!({"redacted": ["peer"]}))).unwrap();
        assert_eq!((found.question.as_str(), found.outcome.as_str()), (r#"{"a":1}"#, "allowed"));
    }

    #[test]
    fn a_redacted_decision_is_an_error_that_says_so() {
        let error = found(&records(&json!({"redacted": ["reason", "groups", "peer"]}))).unwrap_err().to_string();
        assert!(error.ends_with("its record has hashes in place of reason, groups (audit.redact)"), "{error}");
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let mut text = vec![b'x'; usize::try_from(MAX_LINE).unwrap() * 2];
        text.push(b'\n');
        text.extend(records(&json!({})));
        assert!(found(&text).is_ok());
        text.retain(|byte| *byte != b'\n');
        assert_eq!(found(&text).unwrap_err().to_string(), format!("no record of decision {ID}"));
    }
}
