//! The conditions of a target: `Ready`, `TargetFound`, `Synced`, `Contended`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::replicas::{Rollout, Workload};
use crate::resource::ReplicaTargetStatus;
pub(super) use crate::resource::SYNCED;

use super::contention::Corrections;
use super::ownership;
use super::plan::{Seen, Situation};

/// The wanted count runs, and all of it is ready.
pub(super) const READY: &str = "Ready";
/// The Deployment exists, and is the one that the target was made for.
pub(super) const TARGET_FOUND: &str = "TargetFound";
/// Somebody else sets the Deployment's count too.
pub(super) const CONTENDED: &str = "Contended";

pub(super) const DEPLOYMENT_NOT_FOUND: &str = "DeploymentNotFound";
pub(super) const UID_MISMATCH: &str = "UidMismatch";
pub(super) const AUTOSCALER_PRESENT: &str = "AutoscalerPresent";
pub(super) const SCALE_REJECTED: &str = "ScaleRejected";

/// Reason, and message for a human.
type Why = (&'static str, String);

/// Whether `Synced` being false for `reason` means that the target's own change has yet to be applied.
pub(super) fn is_blocked(reason: &str) -> bool {
    [DEPLOYMENT_NOT_FOUND, UID_MISMATCH, AUTOSCALER_PRESENT, SCALE_REJECTED].contains(&reason)
}

/// The status of the condition `kind`, if it is there.
pub(super) fn status<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Returns whether somebody else sets the Deployment's count too.
pub(super) fn is_contended(of: &ReplicaTargetStatus) -> bool {
    status(&of.conditions, CONTENDED).is_some_and(|contended| contended.status == "True")
}

/// All four conditions, in a fixed order. A condition whose status stays keeps its time.
pub(super) fn of(seen: &Seen<'_>, situation: Situation<'_>, corrections: &Corrections) -> Vec<Condition> {
    let found = [
        (READY, ready(situation)),
        (TARGET_FOUND, target_found(situation)),
        (SYNCED, synced(seen, situation)),
        (CONTENDED, contended(seen, situation, corrections)),
    ];
    let old = seen.target.status.as_ref().map_or(&[][..], |status| &status.conditions);
    found.into_iter().map(|(kind, found)| condition(seen, old, kind, found)).collect()
}

fn condition(seen: &Seen<'_>, old: &[Condition], kind: &str, (holds, (reason, message)): (bool, Why)) -> Condition {
    let holds = if holds { "True" } else { "False" };
    let before = status(old, kind).filter(|before| before.status == holds);
    Condition {
        last_transition_time: before.map_or(Time(seen.second()), |before| before.last_transition_time.clone()),
        message,
        observed_generation: seen.target.metadata.generation,
        reason: reason.to_owned(),
        status: holds.to_owned(),
        type_: kind.to_owned(),
    }
}

fn target_found(situation: Situation<'_>) -> (bool, Why) {
    match situation {
        Situation::Missing => (false, (DEPLOYMENT_NOT_FOUND, "there is no Deployment of this name".to_owned())),
        Situation::Replaced { expected, found } => (
            false,
            (UID_MISMATCH, format!("made for the Deployment with uid {expected}; the one of this name has {found}")),
        ),
        _ => (true, ("Found", "the Deployment exists".to_owned())),
    }
}

fn synced(seen: &Seen<'_>, situation: Situation<'_>) -> (bool, Why) {
    let wanted = seen.wanted();
    let message = match situation {
        Situation::Missing | Situation::Replaced { .. } => "there is no Deployment to scale".to_owned(),
        Situation::Autoscaled { workload, by } => {
            format!("{} drives the Deployment: {}", by.in_words(), by.advice(workload.replicas))
        }
        Situation::Fought { workload } => {
            let (is, manager) = (workload.replicas, ownership::setter(workload));
            format!("spec.replicas is {is}, wanted {wanted}; {manager} set it, and the next correction waits")
        }
        Situation::Rejected { workload, message } => {
            let message: String = message.chars().take(512).collect();
            format!("spec.replicas is {}, wanted {wanted}: {message}", workload.replicas)
        }
        Situation::Driven { .. } => format!("spec.replicas is {wanted}"),
    };
    match situation.obstacle() {
        Some(reason) => (false, (reason, message)),
        None => (true, ("Synced", message)),
    }
}

fn ready(situation: Situation<'_>) -> (bool, Why) {
    match situation {
        Situation::Driven { workload } => rolled_out(workload),
        _ => (false, ("NotSynced", "the Deployment does not follow this target".to_owned())),
    }
}

fn rolled_out(workload: &Workload) -> (bool, Why) {
    let counts = format!("{} of {} replicas are ready", workload.ready, workload.replicas);
    let message = match &workload.obstacle {
        Some(obstacle) => format!("{counts}: {}", obstacle.message),
        None => counts.clone(),
    };
    match workload.rollout {
        Rollout::Complete if workload.ready == workload.replicas => (true, ("Ready", counts)),
        Rollout::Complete | Rollout::Progressing => (false, ("Progressing", message)),
        Rollout::Failed => (false, ("ProgressDeadlineExceeded", message)),
        Rollout::Paused => (false, ("Paused", message)),
    }
}

fn contended(seen: &Seen<'_>, situation: Situation<'_>, corrections: &Corrections) -> (bool, Why) {
    if let Situation::Autoscaled { workload, by } = situation {
        let (owner, bounds) = (by.in_words(), format!("between {} and {} replicas", by.min, by.max));
        let message = format!("{owner} drives the Deployment, {bounds}: {}", by.advice(workload.replicas));
        return (true, (AUTOSCALER_PRESENT, message));
    }
    if corrections.is_fight(seen.now) {
        let (manager, pause) = (corrections.manager(), corrections.whole_pause().as_secs());
        let message = format!(
            "{manager} keeps setting another count; corrections are slowed down, the next one waits for {pause} s"
        );
        return (true, (CONTENDED, message));
    }
    (false, ("Uncontended", "nobody else sets the count".to_owned()))
}
