//! What to write, given what was observed. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Patch;
use serde_json::{Value, json};

use crate::replicas::{Deployment, Observation};

use crate::resource::{ReplicaTarget, ReplicaTargetSpec, ScaleTargetRef};

use super::WriteError;

/// A count, with who asked for it and why.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) replicas: i32,
    pub(super) requested_by: String,
    pub(super) reason: Option<String>,
    pub(super) decision_id: String,
}

/// The one write of a request.
#[derive(Debug)]
pub(super) enum Write {
    /// No target was observed.
    Create(Box<ReplicaTarget>),
    /// To the target that was observed, and to no other.
    Patch(Patch<()>),
}

impl Order {
    /// The write that brings `seen` to this order.
    pub(super) fn write(self, seen: &Observation) -> Result<Write, WriteError> {
        let Some(deployment) = &seen.deployment else {
            return Err(WriteError::Rejected { message: format!("there is no Deployment {}", seen.name) });
        };
        let spec = self.spec(&seen.name.name);
        match &seen.target {
            None => {
                let mut target = ReplicaTarget::new(&seen.name.name, spec);
                target.metadata.owner_references = Some(vec![owner(deployment)]);
                Ok(Write::Create(Box::new(target)))
            }
            Some(target) => patch(target, &spec, deployment).map(Write::Patch),
        }
    }

    fn spec(self, name: &str) -> ReplicaTargetSpec {
        ReplicaTargetSpec {
            scale_target_ref: ScaleTargetRef::deployment(name),
            replicas: self.replicas,
            requested_by: Some(self.requested_by),
            reason: self.reason,
            decision_id: Some(self.decision_id),
        }
    }
}

/// A Deployment that is deleted takes its target along. Not a controller, and nothing blocks the deletion.
fn owner(deployment: &Deployment) -> OwnerReference {
    OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: deployment.name.name.clone(),
        uid: deployment.uid.clone(),
        controller: None,
        block_owner_deletion: None,
    }
}

/// Replaces the spec if uid and generation are still the observed ones; updates of the status do not stand in its way.
fn patch(target: &ReplicaTarget, spec: &ReplicaTargetSpec, deployment: &Deployment) -> Result<Patch<()>, WriteError> {
    let mut operations = tests(target);
    operations.push(json!({"op": "replace", "path": "/spec", "value": spec}));
    if let Some(owners) = owners_of_recreated(target, deployment) {
        // The list is written whole, so nobody may have changed it meanwhile.
        let version = &target.metadata.resource_version;
        operations.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
        operations.push(json!({"op": "add", "path": "/metadata/ownerReferences", "value": owners}));
    }
    json_patch(operations)
}

/// Changes nothing, and fails unless uid and generation are still the observed ones.
pub(super) fn is_still(target: &ReplicaTarget) -> Result<Patch<()>, WriteError> {
    json_patch(tests(target))
}

fn tests(target: &ReplicaTarget) -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/metadata/uid", "value": target.metadata.uid}),
        json!({"op": "test", "path": "/metadata/generation", "value": target.metadata.generation}),
    ]
}

fn json_patch(operations: Vec<Value>) -> Result<Patch<()>, WriteError> {
    serde_json::from_value(Value::Array(operations))
        .map(Patch::Json)
        .map_err(|error| WriteError::Rejected { message: error.to_string() })
}

/// The owners that the target should have, if its Deployment is not the one that it was made for.
fn owners_of_recreated(target: &ReplicaTarget, deployment: &Deployment) -> Option<Vec<OwnerReference>> {
    let owners = target.metadata.owner_references.as_deref().unwrap_or_default();
    let ours = owner(deployment);
    let is_namesake = |owner: &&OwnerReference| owner.kind == ours.kind && owner.name == ours.name;
    if owners.iter().filter(is_namesake).map(|owner| &owner.uid).eq([&deployment.uid]) {
        return None;
    }
    let others = owners.iter().filter(|owner| !is_namesake(owner)).cloned();
    Some(others.chain([ours.clone()]).collect())
}
