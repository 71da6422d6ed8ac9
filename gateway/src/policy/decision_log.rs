//! One line for each decision, with all that is needed to make it again: the input, the instant and the set.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::Serialize;

use super::document::Client;
use super::evaluator::Decided;
use super::permit::DecisionId;
use super::set::SetDigest;
use super::verdict::Outcome;
use crate::hex;

/// The longest input that is logged whole, in bytes.
const MAX_INPUT: usize = 16 << 10;

/// Logs a decision.
pub(super) fn decision(decision: DecisionId, decided: &Decided, now: Timestamp, set: &SetDigest) {
    let input = &decided.question.input;
    let reasons: &[String] = match &decided.conclusion.outcome {
        Outcome::Refused(reasons) => reasons,
        Outcome::Allowed(_) | Outcome::Unavailable(_) => &[],
    };
    tracing::info!(
        target: "decision",
        decision_id = %decision,
        client_id = input.client.id,
        serial = input.client.serial,
        action = input.action.name(),
        namespace = input.target.namespace,
        name = input.target.name,
        allow = matches!(decided.conclusion.outcome, Outcome::Allowed(_)),
        outcome = decided.conclusion.outcome.name(),
        reasons = json(&reasons),
        verdicts = json(&decided.conclusion.verdicts),
        instant = %now,
        asked_time = decided.conclusion.asked_time,
        policy_set = %set,
        elapsed_us = micros(decided.elapsed),
        input = &*input_text(&decided.question.json),
        "decided"
    );
}

/// What is told of a list.
pub(super) struct ListRecord<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: Option<&'a str>,
    pub(super) evaluated: usize,
    pub(super) allowed: usize,
    pub(super) outcome: &'static str,
    pub(super) elapsed: Duration,
}

/// Logs a list; each of its items is a decision by the same id, told at debug level.
pub(super) fn list(decision: DecisionId, list: &ListRecord<'_>, now: Timestamp, set: &SetDigest) {
    tracing::info!(
        target: "decision",
        decision_id = %decision,
        client_id = list.client.id,
        serial = list.client.serial,
        action = "list",
        namespace = list.namespace,
        outcome = list.outcome,
        evaluated = list.evaluated,
        allowed = list.allowed,
        instant = %now,
        policy_set = %set,
        elapsed_us = micros(list.elapsed),
        "listed"
    );
}

/// Logs an item of a list.
pub(super) fn item(decision: DecisionId, decided: &Decided) {
    tracing::debug!(
        target: "decision",
        decision_id = %decision,
        outcome = decided.conclusion.outcome.name(),
        verdicts = json(&decided.conclusion.verdicts),
        asked_time = decided.conclusion.asked_time,
        elapsed_us = micros(decided.elapsed),
        input = &*input_text(&decided.question.json),
        "decided about an item"
    );
}

/// The input, unless it is so long that logging it would be a way to fill the log: then what identifies it.
fn input_text(json: &str) -> Cow<'_, str> {
    if json.len() <= MAX_INPUT {
        return Cow::Borrowed(json);
    }
    let digest = digest(&SHA256, json.as_bytes());
    Cow::Owned(format!("{} bytes, sha256 {}", json.len(), hex::encode(digest)))
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
