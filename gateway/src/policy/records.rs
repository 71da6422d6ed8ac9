//! The audit records of decisions, lists and errors.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::action::Effect;
use super::document::API_VERSION;
use super::evaluator::Decided;
use super::permit::DecisionId;
use super::set::SetDigest;
use super::verdict::{Answer, Outcome};
use crate::audit::{DecisionRecord, Origin, Subject};

/// What a record tells of a decision beside the decision itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) decision: DecisionId,
    pub(super) origin: Origin,
    pub(super) effect: Effect,
    pub(super) now: Timestamp,
    pub(super) set: &'a SetDigest,
    /// The client's share of the queue.
    pub(super) share: &'a Arc<str>,
}

/// The record of `decided`.
pub(super) fn decision<'a>(context: Context<'a>, decided: &'a Decided) -> DecisionRecord<'a> {
    let Answer { question, conclusion, input: named } = decided.answer.as_ref();
    let input = &question.input;
    let (reasons, cause): (&[String], _) = match &conclusion.outcome {
        Outcome::Allowed(_) => (&[], None),
        Outcome::Refused(reasons) => (reasons, None),
        Outcome::Busy(cause) | Outcome::Unavailable(cause) => (&[], Some(cause.as_str())),
    };
    DecisionRecord {
        subject: Subject { decision_id: context.decision.uuid(), origin: context.origin },
        instant: context.now,
        client_id: &input.client.id,
        trust_domain: &input.client.trust_domain,
        serial: &input.client.serial,
        action: input.action.name(),
        dry_run: context.effect == Effect::DryRun,
        changes: context.effect == Effect::Change,
        workload_kind: &input.target.kind,
        namespace: &input.target.namespace,
        name: &input.target.name,
        outcome: conclusion.outcome.name(),
        cause,
        reasons,
        modules: &conclusion.verdicts,
        asked_time: conclusion.asked_time,
        policy_set: context.set.as_str(),
        elapsed_micros: micros(decided.elapsed),
        input_version: API_VERSION,
        input: &question.json,
        named: Some(named),
        share: context.share,
        cached: decided.cached,
    }
}

pub(super) fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}
