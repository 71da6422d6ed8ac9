//! The slim forms in which the cache keeps Kubernetes objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::ReplicaTarget;

use super::Version;

/// Where a Deployment lives. Ordered as a list shows them: by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentName {
    /// The namespace, a DNS label.
    pub namespace: String,
    /// The Deployment's name, a DNS subdomain.
    pub name: String,
}

impl DeploymentName {
    /// The Deployment `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How far a Deployment's rollout is, as `kubectl rollout status` would judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rollout {
    /// Every wanted replica is updated and available.
    Complete,
    /// Replicas are being made, replaced or removed.
    Progressing,
    /// The progress deadline passed.
    Failed,
    /// The Deployment is paused.
    Paused,
}

/// A Deployment, without its pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Where it lives.
    pub name: DeploymentName,
    /// The object's uid: another Deployment of the same name has another.
    pub uid: String,
    /// The version of the object, which a write to its scale must name.
    pub resource_version: String,
    /// The generation of the spec.
    pub generation: i64,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations that the configuration allows into the cache; others may hold secrets.
    pub annotations: BTreeMap<String, String>,
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
    /// The label selector of its pods, in the string form of `status.selector` on a scale.
    pub selector: String,
    /// The field manager that last set `spec.replicas`, when the object tells.
    pub replicas_manager: Option<String>,
}

/// A `HorizontalPodAutoscaler` that drives a Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaler {
    /// Its kind, `HorizontalPodAutoscaler`.
    pub kind: String,
    /// Its name; it lives in the Deployment's namespace.
    pub name: String,
    /// The fewest replicas that it will set.
    pub min: i32,
    /// The most replicas that it will set.
    pub max: i32,
}

/// Everything known about one Deployment name at one instant, whether or not the Deployment exists.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The name that was looked up.
    pub name: DeploymentName,
    /// The Deployment, if it exists.
    pub deployment: Option<Arc<Deployment>>,
    /// The target, if it exists.
    pub target: Option<Arc<ReplicaTarget>>,
    /// The autoscalers that drive the Deployment, by name.
    pub autoscalers: Vec<Arc<Autoscaler>>,
    /// The namespace's labels; `None` where namespaces cannot be watched or the namespace is unknown.
    pub namespace_labels: Option<Arc<BTreeMap<String, String>>>,
    /// How long ago the API server last confirmed this state: the oldest of the watches that it came from.
    pub age: Duration,
}

impl Observation {
    /// The version that a client may name in `If-Match`; `None` where there is no Deployment.
    pub fn version(&self) -> Option<Version> {
        let deployment = self.deployment.as_ref()?;
        Some(match self.target.as_ref().and_then(|target| Version::of(target)) {
            Some(version) => version,
            None => Version::Untargeted { deployment_uid: deployment.uid.clone() },
        })
    }
}
