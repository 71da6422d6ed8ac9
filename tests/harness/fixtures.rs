//! Objects for tests.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::ControlFlow;

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::poll;

/// What runs in the pods of a cluster that has kubelets: nothing.
const PAUSE: &str = "registry.k8s.io/pause:3.10";

/// Creates a namespace with a name of its own.
pub async fn namespace(client: &Client, prefix: &str) -> Result<String> {
    let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let created = namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    Ok(created.metadata.name.unwrap_or_default())
}

/// A Deployment to create: one replica unless told otherwise.
#[derive(Debug)]
pub struct DeploymentFixture {
    namespace: String,
    name: String,
    replicas: i32,
    paused: bool,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

/// The Deployment `name` in `namespace`.
pub fn deployment(namespace: &str, name: &str) -> DeploymentFixture {
    DeploymentFixture {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        replicas: 1,
        paused: false,
        annotations: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

impl DeploymentFixture {
    /// With this count.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Which nobody rolls out: it has no `ReplicaSet`, and costs no controller anything.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// With this annotation too.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With this label too.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Creates it.
    pub async fn create(self, client: &Client) -> Result<Deployment> {
        let pods = json!({ "app": self.name });
        let deployment = serde_json::from_value(json!({
            "metadata": { "name": self.name, "annotations": self.annotations, "labels": self.labels },
            "spec": {
                "replicas": self.replicas,
                "paused": self.paused,
                "selector": { "matchLabels": pods },
                "template": {
                    "metadata": { "labels": pods },
                    "spec": { "containers": [{ "name": "main", "image": PAUSE }] },
                },
            },
        }))?;
        let api: Api<Deployment> = Api::namespaced(client.clone(), &self.namespace);
        Ok(api.create(&PostParams::default(), &deployment).await?)
    }
}

/// Waits until the object `name` exists and `holds`; the object as it then is.
pub async fn wait_for<K>(api: &Api<K>, name: &str, what: &str, holds: impl Fn(&K) -> bool) -> Result<K>
where
    K: Clone + Debug + DeserializeOwned,
{
    poll::until(what, poll::PATIENCE, async || {
        Ok(match api.get_opt(name).await {
            Ok(Some(object)) if holds(&object) => ControlFlow::Break(object),
            other => ControlFlow::Continue(format!("{other:?}")),
        })
    })
    .await
}
