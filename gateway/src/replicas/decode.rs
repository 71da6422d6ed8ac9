//! From the API server's JSON to the slim forms that the cache keeps.
//!
//! Only the fields below are read; pod templates, and annotations that nobody allowed, never outlive the decoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference, Time};
use kube::api::ObjectMeta;
use kube::core::{ParseExpressionError, Selector};
use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::resource::{ReplicaTarget, ReplicaTargetSpec, ReplicaTargetStatus};
use crate::text::cut;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::kind::ObjectName;
use super::{Autoscaler, MOST_METADATA, MOST_OBSTACLE, Maker, Obstacle, Rollout, Workload};

/// The label in which KEDA names the `ScaledObject` that an autoscaler was made for.
const KEDA_LABEL: &str = "scaledobject.keda.sh/name";

/// The most bytes of the parts of an owner's name: the API server does not limit the kind in an owner reference.
const MOST_NAME: usize = 253;

/// Why an object is not understood.
#[derive(Debug, Error)]
pub(super) enum DecodeError {
    /// A field is absent or of another type.
    #[error("unexpected shape: {0}")]
    Shape(#[from] serde_json::Error),
    /// The pod selector has an unknown operator.
    #[error("unexpected selector: {0}")]
    Selector(#[from] ParseExpressionError),
}

/// What is read of an object, before it is cut down to what is kept.
pub(super) trait Named {
    fn metadata(&self) -> &Metadata;
}

/// Which annotations the cache keeps.
#[derive(Debug, Clone)]
pub(super) struct AllowedAnnotations(Arc<[String]>);

impl AllowedAnnotations {
    pub(super) fn new(patterns: Vec<String>) -> Self {
        Self(patterns.into())
    }

    fn allows(&self, key: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == pattern,
        })
    }
}

/// An autoscaler and what it drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scaling {
    pub(super) workload: WorkloadRef,
    pub(super) autoscaler: Arc<Autoscaler>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    managed_fields: Vec<ManagedEntry>,
}

impl Metadata {
    pub(super) fn object_name(&self) -> ObjectName {
        ObjectName::new(self.namespace.as_str(), self.name.as_str())
    }
}

/// Of an entry of `managedFields`, which says what a manager set.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManagedEntry {
    manager: Option<String>,
    time: Option<Time>,
    fields_v1: Option<ManagedFields>,
}

#[derive(Deserialize)]
struct ManagedFields {
    #[serde(rename = "f:spec")]
    spec: Option<ManagedSpec>,
}

#[derive(Deserialize)]
struct ManagedSpec {
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct TargetObject {
    metadata: Metadata,
    spec: ReplicaTargetSpec,
    status: Option<ReplicaTargetStatus>,
}

#[derive(Deserialize)]
pub(super) struct DeploymentObject {
    metadata: Metadata,
    spec: DeploymentSpec,
    #[serde(default)]
    status: DeploymentStatus,
}

#[derive(Deserialize)]
struct DeploymentSpec {
    #[serde(default = "one")]
    replicas: i32,
    #[serde(default)]
    paused: bool,
    selector: LabelSelector,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DeploymentStatus {
    observed_generation: i64,
    replicas: i32,
    ready_replicas: i32,
    available_replicas: i32,
    updated_replicas: i32,
    conditions: Vec<ObjectCondition>,
}

#[derive(Deserialize)]
struct ObjectCondition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl ObjectCondition {
    /// What the condition says, where its status is `bad`.
    fn obstacle(all: &[Self], kind: &str, bad: &str) -> Option<Obstacle> {
        let condition = all.iter().find(|it| it.kind == kind && it.status == bad)?;
        let message = cut(&condition.message, MOST_OBSTACLE).into_owned();
        Some(Obstacle { reason: condition.reason.clone(), message })
    }
}

#[derive(Deserialize)]
pub(super) struct AutoscalerObject {
    metadata: Metadata,
    spec: AutoscalerSpec,
    #[serde(default)]
    status: AutoscalerStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AutoscalerStatus {
    conditions: Vec<ObjectCondition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoscalerSpec {
    scale_target_ref: TargetRef,
    #[serde(default = "one")]
    min_replicas: i32,
    max_replicas: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TargetRef {
    #[serde(default)]
    api_version: String,
    kind: String,
    name: String,
}

#[derive(Deserialize)]
pub(super) struct NamespaceObject {
    metadata: Metadata,
}

macro_rules! named {
    ($($object:ty),*) => {
        $(impl Named for $object {
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        })*
    };
}

named!(DeploymentObject, TargetObject, AutoscalerObject, NamespaceObject);

fn one() -> i32 {
    1
}

fn bytes(texts: &BTreeMap<String, String>) -> usize {
    texts.iter().map(|(key, value)| key.len() + value.len()).sum()
}

pub(super) fn deployment(
    object: DeploymentObject,
    annotations: &AllowedAnnotations,
) -> Result<Workload, ParseExpressionError> {
    let DeploymentObject { mut metadata, spec, status } = object;
    let rollout = rollout(metadata.generation, &spec, &status);
    metadata.annotations.retain(|key, _| annotations.allows(key));
    let metadata_dropped = bytes(&metadata.labels) + bytes(&metadata.annotations) > MOST_METADATA;
    if metadata_dropped {
        metadata.labels.clear();
        metadata.annotations.clear();
    }
    Ok(Workload {
        metadata_dropped,
        replicas_manager: replicas_manager(&metadata.managed_fields),
        name: WorkloadRef::deployment(metadata.namespace, metadata.name),
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        labels: Arc::new(metadata.labels),
        annotations: Arc::new(metadata.annotations),
        replicas: spec.replicas,
        ready: status.ready_replicas,
        available: status.available_replicas,
        updated: status.updated_replicas,
        rollout,
        obstacle: obstacle(spec.paused, &status),
        selector: Selector::try_from(spec.selector)?.to_string(),
    })
}

/// What `kubectl rollout status` would say.
fn rollout(generation: i64, spec: &DeploymentSpec, status: &DeploymentStatus) -> Rollout {
    let failed =
        |condition: &ObjectCondition| condition.kind == "Progressing" && condition.reason == "ProgressDeadlineExceeded";
    if spec.paused {
        Rollout::Paused
    } else if status.observed_generation < generation {
        Rollout::Progressing
    } else if status.conditions.iter().any(failed) {
        Rollout::Failed
    } else if status.updated_replicas == spec.replicas
        && status.replicas == status.updated_replicas
        && status.available_replicas == status.updated_replicas
    {
        Rollout::Complete
    } else {
        Rollout::Progressing
    }
}

/// What keeps replicas from being ready: why they cannot be made, else why the rollout does not go on, else that too few are
/// available.
fn obstacle(is_paused: bool, status: &DeploymentStatus) -> Option<Obstacle> {
    let found = |kind: &str, bad: &str| ObjectCondition::obstacle(&status.conditions, kind, bad);
    let paused = || Obstacle { reason: "Paused".to_owned(), message: "the rollout is paused".to_owned() };
    found("ReplicaFailure", "True")
        .or_else(|| found("Progressing", "False"))
        .or_else(|| is_paused.then(paused))
        .or_else(|| found("Available", "False"))
}

/// The manager that last set `spec.replicas`; several may own it, when they applied the same count.
fn replicas_manager(entries: &[ManagedEntry]) -> Option<String> {
    let owns = |entry: &&ManagedEntry| {
        let spec = entry.fields_v1.as_ref().and_then(|fields| fields.spec.as_ref());
        spec.is_some_and(|spec| spec.replicas.is_some())
    };
    let last = entries.iter().filter(owns).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    last.manager.clone()
}

/// `None` for an autoscaler of a kind that is not served.
pub(super) fn autoscaler(object: AutoscalerObject) -> Option<Scaling> {
    let AutoscalerObject { metadata, spec, status } = object;
    let of = spec.scale_target_ref;
    let (maker, trouble) = (maker(&metadata, &of), trouble(&status.conditions));
    let kind = WorkloadKind::named(&of.kind).filter(|kind| group(&of.api_version) == group(kind.api_version()))?;
    Some(Scaling {
        workload: WorkloadRef::new(kind, metadata.namespace, of.name),
        autoscaler: Arc::new(Autoscaler {
            maker,
            trouble,
            ..Autoscaler::new(metadata.name, spec.min_replicas, spec.max_replicas)
        }),
    })
}

/// The object that an autoscaler of `of` was made for: its controller, else another owner. A workload that owns its
/// autoscaler only takes it along when it is deleted. KEDA also names itself in a label, which outlives the reference in
/// a backup that was restored.
fn maker(metadata: &Metadata, of: &TargetRef) -> Option<Maker> {
    let is_other = |owner: &&OwnerReference| owner.kind != of.kind || owner.name != of.name;
    let owners: Vec<_> = metadata.owner_references.iter().filter(is_other).collect();
    let owner = owners.iter().find(|owner| owner.controller == Some(true)).or(owners.first());
    let short = |text: &str| cut(text, MOST_NAME).into_owned();
    let by_reference = owner.map(|owner| Maker {
        group: short(group(&owner.api_version)),
        kind: short(&owner.kind),
        name: short(&owner.name),
    });
    let by_label = || metadata.labels.get(KEDA_LABEL).map(Maker::scaled_object);
    by_reference.or_else(by_label)
}

/// Why an autoscaler cannot follow its metrics. That it is switched off for a workload with 0 replicas is no trouble: the
/// count says so, before and after the condition does.
fn trouble(conditions: &[ObjectCondition]) -> Option<Obstacle> {
    let found = |kind| ObjectCondition::obstacle(conditions, kind, "False");
    let is_off = |trouble: &Obstacle| trouble.reason == "ScalingDisabled";
    found("AbleToScale").or_else(|| found("ScalingActive").filter(|trouble| !is_off(trouble)))
}

/// The group of an `apiVersion`; that of the core is empty.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// `None` for a target that is being deleted: it is released already, whatever finalizer keeps its object.
pub(super) fn target(object: TargetObject) -> Option<ReplicaTarget> {
    let TargetObject { metadata, spec, status } = object;
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    let metadata = ObjectMeta {
        namespace: Some(metadata.namespace),
        name: Some(metadata.name),
        uid: Some(metadata.uid),
        resource_version: Some(metadata.resource_version),
        generation: Some(metadata.generation),
        owner_references: Some(metadata.owner_references).filter(|owners| !owners.is_empty()),
        ..ObjectMeta::default()
    };
    Some(ReplicaTarget { metadata, spec, status })
}

pub(super) fn namespace_labels(object: NamespaceObject) -> BTreeMap<String, String> {
    object.metadata.labels
}

#[cfg(test)]
mod tests;
