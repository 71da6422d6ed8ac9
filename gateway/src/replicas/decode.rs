//! From the API server's JSON to the slim forms that the cache keeps.
//!
//! Only the fields below are read; pod templates, and annotations that nobody allowed, never outlive the decoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ManagedFieldsEntry};
use kube::core::{ParseExpressionError, Selector};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::resource::ReplicaTarget;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::{Autoscaler, MOST_METADATA, Rollout, Workload};

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
struct Metadata {
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
    managed_fields: Vec<ManagedFieldsEntry>,
}

#[derive(Deserialize)]
struct DeploymentObject {
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
    conditions: Vec<DeploymentCondition>,
}

#[derive(Deserialize)]
struct DeploymentCondition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct AutoscalerObject {
    metadata: Metadata,
    spec: AutoscalerSpec,
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
struct NamespaceObject {
    metadata: Metadata,
}

fn one() -> i32 {
    1
}

fn bytes(texts: &BTreeMap<String, String>) -> usize {
    texts.iter().map(|(key, value)| key.len() + value.len()).sum()
}

pub(super) fn deployment(object: Value, annotations: &AllowedAnnotations) -> Result<Workload, DecodeError> {
    let DeploymentObject { mut metadata, spec, status } = serde_json::from_value(object)?;
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
        selector: Selector::try_from(spec.selector)?.to_string(),
    })
}

/// What `kubectl rollout status` would say.
fn rollout(generation: i64, spec: &DeploymentSpec, status: &DeploymentStatus) -> Rollout {
    let failed = |condition: &DeploymentCondition| {
        condition.kind == "Progressing" && condition.reason == "ProgressDeadlineExceeded"
    };
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

/// The manager that last set `spec.replicas`; several may own it, when they applied the same count.
fn replicas_manager(entries: &[ManagedFieldsEntry]) -> Option<String> {
    let owns = |entry: &&ManagedFieldsEntry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    };
    let last = entries.iter().filter(owns).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    last.manager.clone()
}

/// `None` for an autoscaler of a kind that is not served.
pub(super) fn autoscaler(object: Value) -> Result<Option<Scaling>, DecodeError> {
    let AutoscalerObject { metadata, spec } = serde_json::from_value(object)?;
    let of = spec.scale_target_ref;
    let group = |version: &str| version.split_once('/').map_or("", |(group, _)| group).to_owned();
    let kind = WorkloadKind::named(&of.kind).filter(|kind| group(&of.api_version) == group(kind.api_version()));
    let Some(kind) = kind else { return Ok(None) };
    Ok(Some(Scaling {
        workload: WorkloadRef::new(kind, metadata.namespace, of.name),
        autoscaler: Arc::new(Autoscaler {
            kind: "HorizontalPodAutoscaler".to_owned(),
            name: metadata.name,
            min: spec.min_replicas,
            max: spec.max_replicas,
        }),
    }))
}

pub(super) fn target(object: Value) -> Result<ReplicaTarget, DecodeError> {
    let mut target: ReplicaTarget = serde_json::from_value(object)?;
    target.metadata.managed_fields = None;
    Ok(target)
}

pub(super) fn namespace_labels(object: Value) -> Result<BTreeMap<String, String>, DecodeError> {
    Ok(serde_json::from_value::<NamespaceObject>(object)?.metadata.labels)
}

#[cfg(test)]
mod tests;
