//! What to write, given what was observed. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Patch;
use serde_json::{Value, json};

use crate::replicas::{Observation, Workload};

use crate::resource::{ReplicaTarget, ReplicaTargetSpec, ScaleTargetRef};
use crate::workload::WorkloadRef;

use super::WriteError;
use super::keyed::{self, Keyed};

/// A count, with who asked for it and why.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) replicas: i32,
    pub(super) requested_by: String,
    pub(super) reason: Option<String>,
    pub(super) decision_id: String,
    /// What the target is to remember of the request.
    pub(super) keyed: Option<Keyed>,
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
        let Some(workload) = &seen.workload else {
            return Err(WriteError::Rejected { message: format!("there is no {}", seen.name) });
        };
        let spec = self.spec(&seen.name, seen.target.as_deref());
        match &seen.target {
            None => {
                let mut target = ReplicaTarget::new(&seen.name.target_name(), spec);
                target.metadata.owner_references = Some(vec![owner(workload)]);
                Ok(Write::Create(Box::new(target)))
            }
            Some(target) => patch(target, &spec, workload).map(Write::Patch),
        }
    }

    fn spec(self, of: &WorkloadRef, target: Option<&ReplicaTarget>) -> ReplicaTargetSpec {
        let before = target.map(|target| target.spec.keyed_requests.as_slice()).unwrap_or_default();
        ReplicaTargetSpec {
            scale_target_ref: ScaleTargetRef::new(of.kind, of.name.as_str()),
            replicas: self.replicas,
            requested_by: Some(self.requested_by),
            reason: self.reason,
            decision_id: Some(self.decision_id),
            keyed_requests: keyed::remembered(before, self.keyed),
        }
    }
}

/// A workload that is deleted takes its target along. Not a controller, and nothing blocks the deletion.
fn owner(workload: &Workload) -> OwnerReference {
    OwnerReference {
        api_version: workload.name.kind.api_version().to_owned(),
        kind: workload.name.kind.as_str().to_owned(),
        name: workload.name.name.clone(),
        uid: workload.uid.clone(),
        controller: None,
        block_owner_deletion: None,
    }
}

/// Replaces the spec if uid and generation are still the observed ones; updates of the status do not stand in its way.
fn patch(target: &ReplicaTarget, spec: &ReplicaTargetSpec, workload: &Workload) -> Result<Patch<()>, WriteError> {
    let mut operations = tests(target);
    operations.push(json!({"op": "replace", "path": "/spec", "value": spec}));
    if let Some(owners) = owners_of_recreated(target, workload) {
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

/// The owners that the target should have, if its workload is not the one that it was made for.
pub(super) fn owners_of_recreated(target: &ReplicaTarget, workload: &Workload) -> Option<Vec<OwnerReference>> {
    let owners = target.metadata.owner_references.as_deref().unwrap_or_default();
    let ours = owner(workload);
    let is_namesake = |owner: &&OwnerReference| owner.kind == ours.kind && owner.name == ours.name;
    if owners.iter().filter(is_namesake).map(|owner| &owner.uid).eq([&workload.uid]) {
        return None;
    }
    let others = owners.iter().filter(|owner| !is_namesake(owner)).cloned();
    Some(others.chain([ours.clone()]).collect())
}
