//! The slim forms in which the cache keeps Kubernetes objects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::ReplicaTarget;
use crate::workload::WorkloadRef;

use super::{Autoscaler, Version};

/// The most bytes of labels and allowed annotations that are kept of one object.
pub const MOST_METADATA: usize = 64 << 10;

/// How far a workload's rollout is, as `kubectl rollout status` would judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rollout {
    /// Every wanted replica is updated and available.
    Complete,
    /// Replicas are being made, replaced or removed.
    Progressing,
    /// The progress deadline passed.
    Failed,
    /// It is paused.
    Paused,
}

/// The longest message of an [`Obstacle`], in bytes.
pub const MOST_OBSTACLE: usize = 512;

/// What keeps a count from being applied, or its replicas from being ready.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Obstacle {
    /// One word, such as `FailedCreate`, `ProgressDeadlineExceeded` or `Contended`.
    pub reason: String,
    /// In Kubernetes' words, [`MOST_OBSTACLE`] bytes at most.
    pub message: String,
}

/// A workload, without its pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: WorkloadRef,
    /// The object's uid: another workload of the same name has another.
    pub uid: String,
    /// The version of the object, which a write to its scale must name.
    pub resource_version: String,
    /// The generation of the spec.
    pub generation: i64,
    /// Whether labels and allowed annotations were dropped, since together they exceed [`MOST_METADATA`].
    pub metadata_dropped: bool,
    /// All labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The annotations that the configuration allows into the cache; others may hold secrets.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// `spec.replicas`.
    pub replicas: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// `status.updatedReplicas`.
    pub updated: i32,
    /// How far the rollout is.
    pub rollout: Rollout,
    /// What keeps replicas from being ready, as the object's conditions say.
    pub obstacle: Option<Obstacle>,
    /// The label selector of its pods, in the string form of `status.selector` on a scale.
    pub selector: String,
    /// The field manager that last set `spec.replicas`, when the object tells.
    pub replicas_manager: Option<String>,
}

impl Workload {
    /// Returns whether no answer and no policy can show which of both it was made from.
    pub(super) fn differs_in_version_alone(&self, other: &Self) -> bool {
        let (resource_version, generation) = (other.resource_version.clone(), other.generation);
        *other == Self { resource_version, generation, ..self.clone() }
    }
}

/// Everything known about one workload at one instant, whether or not it exists.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The name that was looked up.
    pub name: WorkloadRef,
    /// The workload, if it exists.
    pub workload: Option<Arc<Workload>>,
    /// The target, if it exists.
    pub target: Option<Arc<ReplicaTarget>>,
    /// The autoscalers that drive the workload, by name: the first [`super::MOST_AUTOSCALERS`].
    pub autoscalers: Vec<Arc<Autoscaler>>,
    /// The namespace's labels; `None` where namespaces cannot be watched or the namespace is unknown.
    pub namespace_labels: Option<Arc<BTreeMap<String, String>>>,
    /// How long ago the API server last confirmed this state: the oldest of the watches that it came from.
    pub age: Duration,
}

impl Observation {
    /// The version that a client may name in `If-Match`; `None` where there is no workload.
    pub fn version(&self) -> Option<Version> {
        let workload = self.workload.as_ref()?;
        Some(match self.target.as_ref().and_then(|target| Version::of(target)) {
            Some(version) => version,
            None => Version::Untargeted { workload_uid: workload.uid.clone() },
        })
    }
}
