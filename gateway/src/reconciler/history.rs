//! The changes that a target's status remembers.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::replicas::Workload;
use crate::resource::{CountChange, ReplicaTargetSpec};

use super::ownership;

/// How many changes a status keeps.
const KEPT: usize = 10;

/// The change that `spec` asked for.
pub(super) fn change(spec: &ReplicaTargetSpec, from: i32, to: i32, at: Timestamp) -> CountChange {
    CountChange {
        at: Time(at),
        from,
        to,
        requested_by: spec.requested_by.clone(),
        reason: spec.reason.clone(),
        decision_id: spec.decision_id.clone(),
    }
}

/// The correction of the count of `workload`: nobody requested it, and no decision permitted it.
pub(super) fn correction(workload: &Workload, to: i32, at: Timestamp) -> CountChange {
    let reason = Some(format!("drift corrected, set by {}", ownership::setter(workload)));
    CountChange { at: Time(at), from: workload.replicas, to, requested_by: None, reason, decision_id: None }
}

/// Whether the change that `spec` asks for is among `history`.
pub(super) fn holds(history: &[CountChange], spec: &ReplicaTargetSpec) -> bool {
    history.iter().any(|change| change.decision_id == spec.decision_id && change.to == spec.effective_replicas())
}

/// `history` with `changes` after it, of which the last ten are kept.
///
/// A correction that repeats the one before it takes its place: a fight would push out who asked for what.
pub(super) fn with<'a>(history: &[CountChange], changes: impl Iterator<Item = &'a CountChange>) -> Vec<CountChange> {
    let mut history = history.to_vec();
    for change in changes {
        match history.last_mut() {
            Some(last) if is_repeated(last, change) => last.at = change.at.clone(),
            _ => history.push(change.clone()),
        }
    }
    history.drain(..history.len().saturating_sub(KEPT));
    history
}

fn is_repeated(last: &CountChange, change: &CountChange) -> bool {
    let correction = change.requested_by.is_none() && change.decision_id.is_none();
    correction && *last == CountChange { at: last.at.clone(), ..change.clone() }
}
