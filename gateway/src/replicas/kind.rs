//! The four kinds of objects that are watched: where they are, how they are decoded, where they are kept.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::apps::v1::Deployment as DeploymentApi;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource;
use serde::de::DeserializeOwned;

use crate::resource::ReplicaTarget;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::Workload;
use super::contact::Watched;
use super::decode::{
    self, AllowedAnnotations, AutoscalerObject, DecodeError, DeploymentObject, Named, NamespaceObject, Scaling,
    TargetObject,
};
use super::state::{State, Table};

/// The name under which an object is kept among those of its kind. A Namespace lies in no namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl ObjectName {
    pub(super) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of a workload.
    pub(super) fn of(workload: &WorkloadRef) -> Self {
        Self::new(workload.namespace.as_str(), workload.name.as_str())
    }

    /// The name of a workload's target.
    pub(super) fn of_target(workload: &WorkloadRef) -> Self {
        Self::new(workload.namespace.as_str(), workload.target_name())
    }

    /// The workload of this name.
    pub(super) fn workload(&self, kind: WorkloadKind) -> WorkloadRef {
        WorkloadRef::new(kind, self.namespace.as_str(), self.name.as_str())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One kind of watched objects.
pub(super) trait WatchedKind: Send + Sync + 'static {
    /// Its name among the watches.
    const WATCHED: Watched;

    /// What is read of an object.
    type Object: DeserializeOwned + Named + Send;

    /// The slim form.
    type Item: PartialEq + Send + Sync + 'static;

    /// The path of the list of all objects of a namespace, or of the whole cluster, on the API server.
    fn path(namespace: Option<&str>) -> String;

    /// The slim form of `object`; `None` for one that is of no interest.
    fn decode(object: Self::Object, annotations: &AllowedAnnotations) -> Result<Option<Self::Item>, DecodeError>;

    /// Where the cache keeps them.
    fn table(state: &State) -> &Table<Self::Item>;

    /// The same, to change it.
    fn table_mut(state: &mut State) -> &mut Table<Self::Item>;

    /// The workload whose state an object is part of.
    fn concerns(name: &ObjectName, item: &Self::Item) -> Option<WorkloadRef>;

    /// Whether those who follow workloads are to look again, because of more than a version of the object.
    fn is_seen(_before: &Self::Item, _now: &Self::Item) -> bool {
        true
    }

    /// Called with an object that is there from now on.
    fn added(_state: &mut State, _item: &Self::Item) {}

    /// Called with an object, as it was, that is no longer there.
    fn removed(_state: &mut State, _item: &Self::Item) {}
}

pub(super) struct DeploymentKind;

impl WatchedKind for DeploymentKind {
    const WATCHED: Watched = Watched::Deployments;
    type Object = DeploymentObject;
    type Item = Workload;

    fn path(namespace: Option<&str>) -> String {
        DeploymentApi::url_path(&(), namespace)
    }

    fn decode(object: DeploymentObject, annotations: &AllowedAnnotations) -> Result<Option<Workload>, DecodeError> {
        Ok(Some(decode::deployment(object, annotations)?))
    }

    fn table(state: &State) -> &Table<Workload> {
        state.workloads.of(WorkloadKind::Deployment)
    }

    fn table_mut(state: &mut State) -> &mut Table<Workload> {
        state.workloads.of_mut(WorkloadKind::Deployment)
    }

    fn concerns(name: &ObjectName, _: &Workload) -> Option<WorkloadRef> {
        Some(name.workload(WorkloadKind::Deployment))
    }

    fn is_seen(before: &Workload, now: &Workload) -> bool {
        !before.differs_in_version_alone(now)
    }
}

pub(super) struct TargetKind;

impl WatchedKind for TargetKind {
    const WATCHED: Watched = Watched::Targets;
    type Object = TargetObject;
    type Item = ReplicaTarget;

    fn path(namespace: Option<&str>) -> String {
        ReplicaTarget::url_path(&(), namespace)
    }

    fn decode(object: TargetObject, _: &AllowedAnnotations) -> Result<Option<ReplicaTarget>, DecodeError> {
        Ok(decode::target(object))
    }

    fn table(state: &State) -> &Table<ReplicaTarget> {
        &state.targets
    }

    fn table_mut(state: &mut State) -> &mut Table<ReplicaTarget> {
        &mut state.targets
    }

    fn concerns(name: &ObjectName, target: &ReplicaTarget) -> Option<WorkloadRef> {
        workload_of(name, target)
    }
}

/// The workload of a target; `None` for one of a kind that is not served, or of another name than its workload's, which the
/// CRD's validation refuses.
pub(super) fn workload_of(name: &ObjectName, target: &ReplicaTarget) -> Option<WorkloadRef> {
    let of = &target.spec.scale_target_ref;
    let workload = WorkloadRef::new(WorkloadKind::named(&of.kind)?, name.namespace.as_str(), of.name.as_str());
    (workload.target_name() == name.name).then_some(workload)
}

pub(super) struct AutoscalerKind;

impl WatchedKind for AutoscalerKind {
    const WATCHED: Watched = Watched::Autoscalers;
    type Object = AutoscalerObject;
    type Item = Scaling;

    fn path(namespace: Option<&str>) -> String {
        HorizontalPodAutoscaler::url_path(&(), namespace)
    }

    fn decode(object: AutoscalerObject, _: &AllowedAnnotations) -> Result<Option<Scaling>, DecodeError> {
        Ok(decode::autoscaler(object))
    }

    fn table(state: &State) -> &Table<Scaling> {
        &state.autoscalers
    }

    fn table_mut(state: &mut State) -> &mut Table<Scaling> {
        &mut state.autoscalers
    }

    fn concerns(_: &ObjectName, scaling: &Scaling) -> Option<WorkloadRef> {
        Some(scaling.workload.clone())
    }

    fn added(state: &mut State, scaling: &Scaling) {
        state.index_autoscaler(scaling);
    }

    fn removed(state: &mut State, scaling: &Scaling) {
        state.unindex_autoscaler(scaling);
    }
}

pub(super) struct NamespaceKind;

impl WatchedKind for NamespaceKind {
    const WATCHED: Watched = Watched::Namespaces;
    type Object = NamespaceObject;
    type Item = BTreeMap<String, String>;

    fn path(_: Option<&str>) -> String {
        Namespace::url_path(&(), None)
    }

    fn decode(object: NamespaceObject, _: &AllowedAnnotations) -> Result<Option<Self::Item>, DecodeError> {
        Ok(Some(decode::namespace_labels(object)))
    }

    fn table(state: &State) -> &Table<Self::Item> {
        &state.namespaces
    }

    fn table_mut(state: &mut State) -> &mut Table<Self::Item> {
        &mut state.namespaces
    }

    fn concerns(_: &ObjectName, _: &Self::Item) -> Option<WorkloadRef> {
        None
    }
}
