//! A cache without a cluster, for unit tests of those who read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::resource::{ReplicaTarget, ReplicaTargetSpec, ScaleTargetRef};
use crate::workload::{WorkloadKind, WorkloadRef};

use super::cache::Cache;
use super::contact::{Break, Watched};
use super::decode::Scaling;
use super::kind::{AutoscalerKind, DeploymentKind, NamespaceKind, ObjectName, TargetKind};
use super::{Autoscaler, Replicas, Rollout, Scope, Workload};

/// Something that a watch would bring.
pub(crate) enum Object {
    Deployment(Workload),
    Target(Box<ReplicaTarget>),
    Autoscaler { of: WorkloadRef, autoscaler: Autoscaler },
    Namespace { name: String, labels: BTreeMap<String, String> },
}

impl Replicas {
    /// A synced cache in contact, that holds `objects`.
    pub(crate) fn from_objects(objects: impl IntoIterator<Item = Object>) -> Self {
        let cache = Arc::new(Cache::new(&[Scope::cluster()]));
        for watched in Watched::ALL {
            cache.link(&Scope::cluster(), watched, |link| {
                link.listed(Instant::now());
                link.opened(Instant::now());
            });
        }
        let replicas = Self(cache);
        objects.into_iter().for_each(|object| replicas.put(object));
        replicas
    }

    /// As when a watch brings `object`.
    pub(crate) fn put(&self, object: Object) {
        match object {
            Object::Deployment(deployment) => {
                self.0.put::<DeploymentKind>(&ObjectName::of(&deployment.name), Some(deployment));
            }
            Object::Target(target) => {
                let metadata = &target.metadata;
                let name = ObjectName::new(
                    metadata.namespace.clone().unwrap_or_default(),
                    metadata.name.clone().unwrap_or_default(),
                );
                self.0.put::<TargetKind>(&name, Some(*target));
            }
            Object::Autoscaler { of, autoscaler } => {
                let name = ObjectName::new(of.namespace.as_str(), autoscaler.name.as_str());
                let scaling = Scaling { workload: of, autoscaler: Arc::new(autoscaler) };
                self.0.put::<AutoscalerKind>(&name, Some(scaling));
            }
            Object::Namespace { name, labels } => {
                self.0.put::<NamespaceKind>(&ObjectName::new("", name), Some(labels));
            }
        }
    }

    /// As when a watch tells that a Deployment was deleted.
    pub(crate) fn delete_deployment(&self, name: &WorkloadRef) {
        self.0.put::<DeploymentKind>(&ObjectName::of(name), None);
    }

    /// As when a watch tells that a target was deleted.
    pub(crate) fn delete_target(&self, name: &WorkloadRef) {
        self.0.put::<TargetKind>(&ObjectName::of_target(name), None);
    }

    /// As when every stream breaks.
    pub(crate) fn lose_contact(&self) {
        for watched in Watched::ALL {
            self.0.link(&Scope::cluster(), watched, |link| link.broke(Instant::now(), Break::Seen));
        }
    }
}

/// A Deployment with `replicas` ready pods, without labels or annotations.
pub(crate) fn deployment(namespace: &str, name: &str, replicas: i32) -> Workload {
    Workload {
        metadata_dropped: false,
        name: WorkloadRef::deployment(namespace, name),
        uid: "5f0f5c6e-5c7a-4a39-9b0c-3d1f0b1a2c3d".to_owned(),
        resource_version: "1".to_owned(),
        generation: 1,
        labels: Arc::default(),
        annotations: Arc::default(),
        replicas,
        ready: replicas,
        available: replicas,
        updated: replicas,
        rollout: Rollout::Complete,
        obstacle: None,
        selector: format!("app={name}"),
        replicas_manager: None,
    }
}

/// A target of generation 1, as the API server would have stored it.
pub(crate) fn target(namespace: &str, name: &str, replicas: i32) -> ReplicaTarget {
    let scale_target_ref = ScaleTargetRef::new(WorkloadKind::Deployment, name);
    let spec = ReplicaTargetSpec {
        scale_target_ref,
        replicas,
        requested_by: None,
        reason: None,
        decision_id: None,
        keyed_requests: Vec::new(),
    };
    let mut target = ReplicaTarget::new(name, spec);
    target.metadata.namespace = Some(namespace.to_owned());
    target.metadata.uid = Some("0b8e7f0e-3a52-4c57-8a7d-6f1f8f0f7a11".to_owned());
    target.metadata.resource_version = Some("1".to_owned());
    target.metadata.generation = Some(1);
    target
}
