//! The answers, as clients read them.
//!
//! Accepted is not applied and applied is not ready: [`Progress`] keeps the three apart in every answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::Serialize;

use crate::policy::{Decidable, Get, Listing, Permit};
use crate::replicas::{Autoscaler, MOST_OBSTACLE, Observation, Obstacle, Rollout, Version, Workload};
use crate::resource::{ReplicaTarget, SYNCED};
use crate::text::cut;

/// The replicas of one workload.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Replicas")]
pub(super) struct ReplicasView {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// What `If-Match` and `atLeastVersion` take.
    pub(super) version: String,
    /// Null, like `status`, where a target was released whose workload is gone.
    pub(super) spec: Option<Spec>,
    pub(super) status: Option<StatusView>,
    pub(super) target: Option<TargetView>,
    pub(super) owner: Option<Owner>,
    pub(super) progress: Progress,
    /// How long ago the API server last confirmed what is said here.
    pub(super) age_seconds: f64,
    /// The decision that permitted a change; absent from reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision_id: Option<String>,
    /// True where a change was decided and not written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub(super) dry_run: bool,
    /// True where a set with this `Idempotency-Key` had been stored before, and was not stored again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub(super) repeated: bool,
}

#[derive(Debug, Clone, Hash, Serialize, JsonSchema)]
pub(super) struct Spec {
    pub(super) replicas: i32,
}

#[derive(Debug, Clone, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Status")]
pub(super) struct StatusView {
    pub(super) ready_replicas: i32,
    pub(super) available_replicas: i32,
    pub(super) updated_replicas: i32,
    pub(super) rollout: Rollout,
}

/// What was asked of the Deployment through the gateway.
#[derive(Debug, Clone, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Target")]
pub(super) struct TargetView {
    pub(super) replicas: i32,
    pub(super) requested_by: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) decision_id: Option<String>,
}

/// Who sets the Deployment's count.
#[derive(Debug, Clone, Hash, Serialize, JsonSchema)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
}

/// How far the target is. Without one, accepted and applied are true, and ready says whether all replicas are ready and
/// the rollout is complete.
#[derive(Debug, Clone, Hash, Serialize, JsonSchema)]
pub(super) struct Progress {
    /// The target is stored.
    pub(super) accepted: bool,
    /// The Deployment has the target's count.
    pub(super) applied: bool,
    /// That many replicas are ready, and the rollout is complete.
    pub(super) ready: bool,
    /// Why not, where Kubernetes says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) obstacle: Option<Obstacle>,
}

/// The last changes of one workload's count, as its target remembers them: none once it is released.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(super) struct HistoryView {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The latest first; ten at most.
    #[schemars(length(max = 10))]
    pub(super) changes: Vec<ChangeView>,
}

/// A change of a workload's count.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Change")]
pub(super) struct ChangeView {
    /// When it was applied.
    #[schemars(with = "String")]
    pub(super) at: Timestamp,
    pub(super) from: i32,
    pub(super) to: i32,
    /// Null, like `decisionId`, where drift was corrected.
    pub(super) requested_by: Option<String>,
    /// Why, in the asker's words, or what was corrected.
    pub(super) reason: Option<String>,
    pub(super) decision_id: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReplicasList")]
pub(super) struct ListView {
    pub(super) items: Vec<ReplicasView>,
    /// How many were left out for lack of a verdict.
    pub(super) undecided: usize,
    /// What `continue` takes for the next page; null at the end.
    pub(super) r#continue: Option<String>,
}

impl ReplicasView {
    /// What a permit shows; `None` where there is no such Deployment.
    pub(super) fn of<A>(permit: &Permit<A>) -> Option<Self> {
        let observation = permit.observation();
        let workload = observation.workload.as_deref()?;
        Some(Self::render(observation, workload, observation.target.as_deref()))
    }

    /// What a permitted change made of what it saw: `target` is the one that is stored now.
    pub(super) fn after<A>(permit: &Permit<A>, target: Option<&ReplicaTarget>) -> Option<Self> {
        let observation = permit.observation();
        let workload = observation.workload.as_deref()?;
        let view = Self::render(observation, workload, target);
        Some(Self { decision_id: Some(permit.decision().to_string()), ..view })
    }

    /// What a release made of what it saw: the workload may be gone, and have left its target behind.
    pub(super) fn released<A>(permit: &Permit<A>) -> Self {
        let observation = permit.observation();
        Self::after(permit, None).unwrap_or_else(|| Self {
            kind: observation.name.kind.as_str(),
            namespace: observation.name.namespace.clone(),
            name: observation.name.name.clone(),
            version: Version::Untargeted { workload_uid: String::new() }.to_string(),
            spec: None,
            status: None,
            target: None,
            owner: None,
            progress: Progress { accepted: true, applied: true, ready: false, obstacle: None },
            age_seconds: seconds(observation.age),
            decision_id: Some(permit.decision().to_string()),
            dry_run: false,
            repeated: false,
        })
    }

    /// What a permitted change would make of what it saw: `target` is the one that would be stored.
    pub(super) fn would<A: Decidable>(permit: &Permit<A>) -> Option<Self> {
        let view = Self::after(permit, permit.observation().target.as_deref())?;
        let target = permit.action().request().map(|request| TargetView {
            replicas: request.replicas,
            requested_by: Some(permit.client().id().to_string()),
            reason: request.reason,
            decision_id: Some(permit.decision().to_string()),
        });
        let progress = Progress { accepted: false, applied: false, ready: false, obstacle: None };
        Some(Self { dry_run: true, target, progress, ..view })
    }

    /// A number that differs, but for a chance of one in 2^64, where anything but the age differs.
    pub(super) fn fingerprint(&self) -> u64 {
        let Self {
            kind,
            namespace,
            name,
            version,
            spec,
            status,
            target,
            owner,
            progress,
            age_seconds: _,
            // Of the answer to one change.
            decision_id: _,
            dry_run: _,
            repeated: _,
        } = self;
        let mut hasher = DefaultHasher::new();
        (kind, namespace, name, version, spec, status, target, owner, progress).hash(&mut hasher);
        hasher.finish()
    }

    fn render(observation: &Observation, workload: &Workload, target: Option<&ReplicaTarget>) -> Self {
        let version =
            target.and_then(Version::of).unwrap_or_else(|| Version::Untargeted { workload_uid: workload.uid.clone() });
        Self {
            kind: observation.name.kind.as_str(),
            namespace: observation.name.namespace.clone(),
            name: observation.name.name.clone(),
            version: version.to_string(),
            spec: Some(Spec { replicas: workload.replicas }),
            status: Some(StatusView {
                ready_replicas: workload.ready,
                available_replicas: workload.available,
                updated_replicas: workload.updated,
                rollout: workload.rollout,
            }),
            target: target.map(TargetView::of),
            owner: Owner::of(observation, target),
            progress: Progress::of(workload, target),
            age_seconds: seconds(observation.age),
            decision_id: None,
            dry_run: false,
            repeated: false,
        }
    }
}

/// Seconds, to the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl TargetView {
    fn of(target: &ReplicaTarget) -> Self {
        Self {
            replicas: target.spec.effective_replicas(),
            requested_by: target.spec.requested_by.clone(),
            reason: target.spec.reason.clone(),
            decision_id: target.spec.decision_id.clone(),
        }
    }
}

impl Owner {
    /// An autoscaler wins over a target: the reconciler never fights one.
    fn of(observation: &Observation, target: Option<&ReplicaTarget>) -> Option<Self> {
        if let Some(autoscaler) = Autoscaler::driving(&observation.autoscalers) {
            return Some(Self { kind: autoscaler.kind.clone(), name: autoscaler.name.clone() });
        }
        target.map(|_| Self { kind: "ReplicaTarget".into(), name: observation.name.target_name() })
    }
}

impl Progress {
    /// Returns whether waiting longer makes no sense: everything is ready, or the rollout has failed or is paused, or somebody
    /// else drives the workload.
    pub(super) fn is_settled(&self, rollout: Rollout) -> bool {
        let stuck = self.applied && matches!(rollout, Rollout::Failed | Rollout::Paused);
        self.ready || stuck || (!self.applied && self.obstacle.is_some())
    }

    pub(super) fn of(workload: &Workload, target: Option<&ReplicaTarget>) -> Self {
        let applied = target.is_none_or(|target| target.spec.effective_replicas() == workload.replicas);
        let ready = applied && workload.ready == workload.replicas && workload.rollout == Rollout::Complete;
        let obstacle = match (applied, ready) {
            (_, true) => None,
            (true, false) => workload.obstacle.clone(),
            (false, false) => target.and_then(not_applied),
        };
        Self { accepted: true, applied, ready, obstacle }
    }
}

/// Why the leader has not applied a target, once it has tried.
fn not_applied(target: &ReplicaTarget) -> Option<Obstacle> {
    let status = target.status.as_ref().filter(|status| status.observed_generation == target.metadata.generation)?;
    let is_false = |condition: &&Condition| condition.type_ == SYNCED && condition.status == "False";
    let condition = status.conditions.iter().find(is_false)?;
    Some(Obstacle { reason: condition.reason.clone(), message: cut(&condition.message, MOST_OBSTACLE).into_owned() })
}

impl HistoryView {
    /// What a permit shows; `None` where there is no such workload.
    pub(super) fn of(permit: &Permit<Get>) -> Option<Self> {
        let Observation { name, workload, target, .. } = permit.observation();
        workload.as_ref()?;
        let status = target.as_ref().and_then(|target| target.status.as_ref());
        let changes = status.into_iter().flat_map(|status| status.history.iter().rev());
        let changes = changes.cloned().map(|change| ChangeView {
            at: change.at.0,
            from: change.from,
            to: change.to,
            requested_by: change.requested_by,
            reason: change.reason,
            decision_id: change.decision_id,
        });
        let (namespace, called) = (name.namespace.clone(), name.name.clone());
        Some(Self { kind: name.kind.as_str(), namespace, name: called, changes: changes.collect() })
    }
}

impl ListView {
    pub(super) fn of(listing: &Listing, next: Option<String>) -> Self {
        let items = listing.items.iter().filter_map(ReplicasView::of::<Get>).collect();
        Self { items, undecided: listing.undecided, r#continue: next }
    }
}
