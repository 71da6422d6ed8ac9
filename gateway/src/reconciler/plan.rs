//! What to do about one target: a pure function of what is known.
//!
//! The plan is a fixed point: planning again on what a plan made of the cluster yields nothing more to do.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::kubernetes::call::FIELD_MANAGER;
use crate::replicas::{Autoscaler, Rollout, Workload};
use crate::resource::{CountChange, ReplicaTarget, ReplicaTargetStatus};

use super::conditions::{self, SCALE_REJECTED, SYNCED};
use super::contention::Corrections;
use super::history;
use super::notice::Notice;
use super::ownership::{self, Owner};

#[cfg(test)]
mod tests;

/// Everything that a plan depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) target: &'a ReplicaTarget,
    pub(super) workload: Option<&'a Workload>,
    /// The autoscalers that drive the Deployment.
    pub(super) autoscalers: &'a [Arc<Autoscaler>],
    /// The corrections that this leader made of late.
    pub(super) corrections: &'a Corrections,
    /// Changes that were made, but whose status could not be written.
    pub(super) unrecorded: &'a [CountChange],
    pub(super) now: Timestamp,
}

/// What to do, in this order: scale, write the status, tell the event. The status supposes that the scale succeeded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) scale: Option<ScaleTo>,
    /// The whole new status; `None` when it is as it should be.
    pub(super) status: Option<ReplicaTargetStatus>,
    pub(super) event: Option<Notice>,
    /// When to plan again even if nothing changes; counts from `now`.
    pub(super) requeue_after: Option<Duration>,
}

/// A write of a Deployment's count, fenced by the version that it was decided on.
#[derive(Debug, PartialEq)]
pub(super) struct ScaleTo {
    pub(super) resource_version: String,
    pub(super) uid: String,
    pub(super) cause: Cause,
    /// What it changes: `to` is the count to write.
    pub(super) change: CountChange,
}

/// Why a count is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody changed the target.
    Change,
    /// Somebody changed the Deployment.
    Drift,
}

/// How a target and its Deployment stand to one another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Situation<'a> {
    /// There is no Deployment.
    Missing,
    /// There is one, but not the one that the target was made for.
    Replaced { expected: &'a str, found: &'a str },
    /// An autoscaler drives the Deployment.
    Autoscaled { workload: &'a Workload, by: &'a Autoscaler },
    /// Somebody keeps setting another count; the next correction has to wait.
    Fought { workload: &'a Workload },
    /// The API server did not accept the count.
    Rejected { workload: &'a Workload, message: &'a str },
    /// The count is the wanted one, or is being written now.
    Driven { workload: &'a Workload },
}

/// Decides what to do about a target.
pub(super) fn plan(seen: &Seen<'_>) -> Plan {
    match situation(seen) {
        Situation::Driven { workload } if workload.replicas != seen.wanted() => write(seen, workload),
        situation => stand(seen, situation),
    }
}

/// The status that tells that the API server did not accept the count; `None` when it is told already.
pub(super) fn rejected(seen: &Seen<'_>, message: &str) -> Option<ReplicaTargetStatus> {
    let workload = seen.workload?;
    let situation = Situation::Rejected { workload, message };
    changed(seen, status(seen, situation, seen.corrections, None))
}

impl Seen<'_> {
    /// The count to drive the Deployment to.
    pub(super) fn wanted(&self) -> i32 {
        self.target.spec.effective_replicas()
    }

    /// Kubernetes keeps times in statuses as whole seconds; a finer one would never compare equal to what comes back.
    pub(super) fn second(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap_or(self.now)
    }

    fn generation_is_new(&self) -> bool {
        let observed = self.target.status.as_ref().and_then(|status| status.observed_generation);
        observed.is_none() || observed != self.target.metadata.generation
    }

    fn history(&self) -> &[CountChange] {
        self.target.status.as_ref().map_or(&[], |status| &status.history)
    }

    /// Whether a difference comes from the target rather than from the Deployment: the spec is new, or it could not be
    /// applied when it was.
    fn cause(&self) -> Cause {
        let blocked = self.target.status.as_ref().is_some_and(|status| {
            let synced = status.conditions.iter().find(|condition| condition.type_ == SYNCED);
            synced.is_some_and(|synced| conditions::is_blocked(&synced.reason))
        });
        let recorded = || history::holds(self.history(), &self.target.spec);
        if self.generation_is_new() || (blocked && !recorded()) { Cause::Change } else { Cause::Drift }
    }

    /// The entry of a change that reached the Deployment but never the history, as when the leader died in between. A
    /// count that another manager set was nobody's request, be it the one that was requested afterwards.
    fn lost_change(&self, workload: &Workload) -> Option<CountChange> {
        let from = self.target.status.as_ref()?.replicas?;
        let lost = from != workload.replicas
            && workload.replicas_manager.as_deref() == Some(FIELD_MANAGER)
            && self.generation_is_new()
            && self.unrecorded.is_empty()
            && !history::holds(self.history(), &self.target.spec);
        lost.then(|| history::change(&self.target.spec, from, workload.replicas, self.second()))
    }
}

fn situation<'a>(seen: &Seen<'a>) -> Situation<'a> {
    let Some(workload) = seen.workload else { return Situation::Missing };
    if let Some(expected) = ownership::other_uid(seen.target, workload) {
        return Situation::Replaced { expected, found: &workload.uid };
    }
    if let Owner::Autoscaler(by) = Owner::of(Some(seen.target), seen.autoscalers) {
        return Situation::Autoscaled { workload, by };
    }
    let drifted = workload.replicas != seen.wanted() && seen.cause() == Cause::Drift;
    if drifted && !seen.corrections.pause(seen.now).is_zero() {
        return Situation::Fought { workload };
    }
    Situation::Driven { workload }
}

/// The plan that sets the Deployment's count.
fn write(seen: &Seen<'_>, workload: &Workload) -> Plan {
    let cause = seen.cause();
    let mut corrections = seen.corrections.clone();
    let change = match cause {
        Cause::Change => history::change(&seen.target.spec, workload.replicas, seen.wanted(), seen.second()),
        Cause::Drift => {
            corrections.record(seen.now, ownership::setter(workload));
            history::correction(workload, seen.wanted(), seen.second())
        }
    };
    // What the Deployment will be after the write; a rollout that was complete is not so for another count.
    let scaled = Workload { replicas: change.to, rollout: after_scale(workload.rollout), ..workload.clone() };
    let status = status(seen, Situation::Driven { workload: &scaled }, &corrections, Some(&change));
    Plan {
        event: Some(Notice::scaled(cause, &change, corrections.is_fight(seen.now))),
        requeue_after: requeue_after(&corrections, seen.now),
        status: changed(seen, status),
        scale: Some(ScaleTo {
            resource_version: workload.resource_version.clone(),
            uid: workload.uid.clone(),
            cause,
            change,
        }),
    }
}

/// The plan that leaves the Deployment alone.
fn stand(seen: &Seen<'_>, situation: Situation<'_>) -> Plan {
    let lost = match situation {
        Situation::Driven { workload } => seen.lost_change(workload),
        _ => None,
    };
    let status = changed(seen, status(seen, situation, seen.corrections, lost.as_ref()));
    let event = status.as_ref().and_then(|status| Notice::contended(seen.target.status.as_ref(), status));
    Plan { scale: None, status, event, requeue_after: requeue_after(seen.corrections, seen.now) }
}

fn after_scale(rollout: Rollout) -> Rollout {
    match rollout {
        Rollout::Paused => Rollout::Paused,
        Rollout::Complete | Rollout::Progressing | Rollout::Failed => Rollout::Progressing,
    }
}

/// While there is a fight, the next moment at which waiting alone changes something.
fn requeue_after(corrections: &Corrections, now: Timestamp) -> Option<Duration> {
    if !corrections.is_fight(now) {
        return None;
    }
    let pause = corrections.pause(now);
    Some(if pause.is_zero() { corrections.quiet_in(now) } else { pause })
}

fn status(
    seen: &Seen<'_>,
    situation: Situation<'_>,
    corrections: &Corrections,
    change: Option<&CountChange>,
) -> ReplicaTargetStatus {
    let workload = situation.workload();
    let changes = seen.unrecorded.iter().chain(change);
    ReplicaTargetStatus {
        observed_generation: seen.target.metadata.generation,
        replicas: workload.map(|workload| workload.replicas),
        ready_replicas: workload.map(|workload| workload.ready),
        selector: workload.map(|workload| workload.selector.clone()),
        conditions: conditions::of(seen, situation, corrections),
        history: history::with(seen.history(), changes),
    }
}

fn changed(seen: &Seen<'_>, status: ReplicaTargetStatus) -> Option<ReplicaTargetStatus> {
    (seen.target.status.as_ref() != Some(&status)).then_some(status)
}

impl<'a> Situation<'a> {
    /// The Deployment that the status may speak of.
    pub(super) fn workload(self) -> Option<&'a Workload> {
        match self {
            Self::Missing | Self::Replaced { .. } => None,
            Self::Autoscaled { workload, .. }
            | Self::Fought { workload }
            | Self::Rejected { workload, .. }
            | Self::Driven { workload } => Some(workload),
        }
    }

    /// The reason for `Synced` being false; `None` when the count is the wanted one.
    pub(super) fn obstacle(self) -> Option<&'static str> {
        match self {
            Self::Missing => Some(conditions::DEPLOYMENT_NOT_FOUND),
            Self::Replaced { .. } => Some(conditions::UID_MISMATCH),
            Self::Autoscaled { .. } => Some(conditions::AUTOSCALER_PRESENT),
            Self::Fought { .. } => Some(conditions::CONTENDED),
            Self::Rejected { .. } => Some(SCALE_REJECTED),
            Self::Driven { .. } => None,
        }
    }
}
