//! The four kinds of objects that are watched: where they are, how they are decoded, where they are kept.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment as DeploymentApi;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource;
use serde_json::Value;

use crate::resource::ReplicaTarget;

use super::cache::{State, Table};
use super::contact::Watched;
use super::decode::{self, AllowedAnnotations, DecodeError, Scaling};
use super::{Deployment, DeploymentName};

/// Every object is kept under its namespace and name, as Deployments are; a Namespace lies in no namespace.
pub(super) type ObjectName = DeploymentName;

/// One kind of watched objects.
pub(super) trait Kind: Send + Sync + 'static {
    /// Its name among the watches.
    const WATCHED: Watched;

    /// The slim form.
    type Item: Send + Sync + 'static;

    /// The path of the list of all objects of a namespace, or of the whole cluster, on the API server.
    fn path(namespace: Option<&str>) -> String;

    /// The slim form of `object`; `None` for one that is of no interest.
    fn decode(object: Value, annotations: &AllowedAnnotations) -> Result<Option<Self::Item>, DecodeError>;

    /// Where the cache keeps them.
    fn table(state: &mut State) -> &mut Table<Self::Item>;

    /// The Deployment whose state an object is part of.
    fn concerns(name: &ObjectName, item: &Self::Item) -> Option<DeploymentName>;

    /// Called with the Deployments that a change concerned, or `None` when everything was replaced.
    fn reindex(_state: &mut State, _touched: Option<&[DeploymentName]>) {}
}

pub(super) struct DeploymentKind;

impl Kind for DeploymentKind {
    const WATCHED: Watched = Watched::Deployments;
    type Item = Deployment;

    fn path(namespace: Option<&str>) -> String {
        DeploymentApi::url_path(&(), namespace)
    }

    fn decode(object: Value, annotations: &AllowedAnnotations) -> Result<Option<Deployment>, DecodeError> {
        decode::deployment(object, annotations).map(Some)
    }

    fn table(state: &mut State) -> &mut Table<Deployment> {
        &mut state.deployments
    }

    fn concerns(name: &ObjectName, _: &Deployment) -> Option<DeploymentName> {
        Some(name.clone())
    }
}

pub(super) struct TargetKind;

impl Kind for TargetKind {
    const WATCHED: Watched = Watched::Targets;
    type Item = ReplicaTarget;

    fn path(namespace: Option<&str>) -> String {
        ReplicaTarget::url_path(&(), namespace)
    }

    fn decode(object: Value, _: &AllowedAnnotations) -> Result<Option<ReplicaTarget>, DecodeError> {
        let target = decode::target(object)?;
        // One that is being deleted is released already, whatever finalizer keeps its object.
        Ok(target.metadata.deletion_timestamp.is_none().then_some(target))
    }

    fn table(state: &mut State) -> &mut Table<ReplicaTarget> {
        &mut state.targets
    }

    /// A target has its Deployment's name; the CRD's validation sees to it.
    fn concerns(name: &ObjectName, _: &ReplicaTarget) -> Option<DeploymentName> {
        Some(name.clone())
    }
}

pub(super) struct AutoscalerKind;

impl Kind for AutoscalerKind {
    const WATCHED: Watched = Watched::Autoscalers;
    type Item = Scaling;

    fn path(namespace: Option<&str>) -> String {
        HorizontalPodAutoscaler::url_path(&(), namespace)
    }

    fn decode(object: Value, _: &AllowedAnnotations) -> Result<Option<Scaling>, DecodeError> {
        decode::autoscaler(object)
    }

    fn table(state: &mut State) -> &mut Table<Scaling> {
        &mut state.autoscalers
    }

    fn concerns(_: &ObjectName, scaling: &Scaling) -> Option<DeploymentName> {
        Some(scaling.deployment.clone())
    }

    fn reindex(state: &mut State, touched: Option<&[DeploymentName]>) {
        state.index_autoscalers(touched);
    }
}

pub(super) struct NamespaceKind;

impl Kind for NamespaceKind {
    const WATCHED: Watched = Watched::Namespaces;
    type Item = BTreeMap<String, String>;

    fn path(_: Option<&str>) -> String {
        Namespace::url_path(&(), None)
    }

    fn decode(object: Value, _: &AllowedAnnotations) -> Result<Option<Self::Item>, DecodeError> {
        decode::namespace_labels(object).map(Some)
    }

    fn table(state: &mut State) -> &mut Table<Self::Item> {
        &mut state.namespaces
    }

    fn concerns(_: &ObjectName, _: &Self::Item) -> Option<DeploymentName> {
        None
    }
}
