//! The one node of the cluster, which exists in the API alone.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::fixtures;

const NAME: &str = "node";

/// Creates the node, large enough for every test at once, and waits until pods may be put on it.
pub(super) async fn create(client: &Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.create(&PostParams::default(), &node()).await.context("create the node")?;
    fixtures::wait_for(&nodes, NAME, "the node to be ready and without taints", is_open).await?;
    Ok(())
}

fn node() -> Node {
    let room: BTreeMap<_, _> = [("cpu", "10k"), ("memory", "100Ti"), ("pods", "100k")]
        .map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())))
        .into();
    Node {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some([("kubernetes.io/hostname".to_owned(), NAME.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(NodeStatus { allocatable: Some(room.clone()), capacity: Some(room), ..NodeStatus::default() }),
    }
}

fn is_open(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    ready && taints.is_empty()
}
