//! Which of those that could set a Deployment's count has the say.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::replicas::{Autoscaler, Workload};
use crate::resource::ReplicaTarget;

/// Who drives a Deployment's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// An autoscaler. Two that set one field would fight, so a target beside it stands back.
    Autoscaler(&'a Autoscaler),
    /// A `ReplicaTarget`.
    Target,
    /// Whoever sets it last.
    Nobody,
}

impl<'a> Owner<'a> {
    /// The owner, given the target and the autoscalers of one Deployment.
    pub fn of(target: Option<&ReplicaTarget>, autoscalers: &'a [Arc<Autoscaler>]) -> Self {
        match (Autoscaler::driving(autoscalers), target) {
            (Some(autoscaler), _) => Self::Autoscaler(autoscaler),
            (None, Some(_)) => Self::Target,
            (None, None) => Self::Nobody,
        }
    }
}

/// The uid of the Deployment that `target` was made for, if it differs from that of `workload`.
///
/// A Deployment that was deleted and made anew is another one: what was decided for the first does not hold for it. A
/// target without an owner reference, made by hand, takes any Deployment of its name.
pub(super) fn other_uid<'a>(target: &'a ReplicaTarget, workload: &Workload) -> Option<&'a str> {
    let owners = target.metadata.owner_references.as_deref().unwrap_or_default();
    if owners.iter().any(|owner| owner.uid == workload.uid) {
        return None;
    }
    let of = &workload.name;
    let is_of_its_name = |owner: &&OwnerReference| {
        owner.api_version == of.kind.api_version() && owner.kind == of.kind.as_str() && owner.name == of.name
    };
    owners.iter().find(is_of_its_name).map(|owner| owner.uid.as_str())
}

/// The field manager that set a Deployment's count, in words.
///
/// Kubernetes records none for a count of 0 that was set through the scale subresource: a `Scale` leaves out a 0, and so
/// do the fields that its writer manages.
pub(super) fn setter(workload: &Workload) -> String {
    match workload.replicas_manager.as_deref() {
        Some(manager) => format!("`{}`", manager.chars().take(128).collect::<String>()),
        None if workload.replicas == 0 => "`kubectl scale` or another client of the scale subresource".to_owned(),
        None => "an unknown manager".to_owned(),
    }
}
