//! A cluster of one Deployment, and reconcilers on it.

use http::Method;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::super::*;
use crate::kubernetes::testing::store::{FakeApi, RecordedWrite};
use crate::replicas::Workload;
use crate::replicas::fixtures::{self, Object};
use crate::resource::ReplicaTarget;

pub(super) const TARGET: &str = "/apis/scalegate.dev/v1alpha1/namespaces/demo/replicatargets/web";
pub(super) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/demo/deployments/web";
pub(super) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/scalegate";

pub(super) struct Cluster {
    pub(super) api: FakeApi,
    pub(super) replicas: Replicas,
}

impl Cluster {
    /// A Deployment `demo/web` that runs `replicas`.
    pub(super) fn new(replicas: i32) -> Self {
        let cluster = Self { api: FakeApi::default(), replicas: Replicas::from_objects([]) };
        let Workload { uid, .. } = fixtures::deployment("demo", "web", replicas);
        cluster.api.store(DEPLOYMENT, &json!({ "metadata": { "uid": uid }, "spec": { "replicas": replicas } }));
        cluster.bring_deployment();
        cluster
    }

    /// A client sets the target.
    pub(super) fn request(&self, replicas: i32, generation: i64) {
        let mut target = fixtures::target("demo", "web", replicas);
        target.metadata.generation = Some(generation);
        target.spec.decision_id = Some(format!("d-{generation}"));
        target.status = self.api.object(TARGET).and_then(|old| serde_json::from_value(old["status"].clone()).ok());
        self.api.store(TARGET, &target);
        self.bring_target();
    }

    /// Somebody else sets the Deployment's count.
    pub(super) fn drift(&self, replicas: i32) {
        let mut workload = self.api.object(DEPLOYMENT).unwrap();
        workload["spec"]["replicas"] = json!(replicas);
        self.api.store(DEPLOYMENT, &workload);
        self.bring_deployment();
    }

    /// The watch on Deployments catches up.
    pub(super) fn bring_deployment(&self) {
        let object = self.api.object(DEPLOYMENT).unwrap();
        let replicas = self.spec_replicas();
        self.replicas.put(Object::Deployment(Workload {
            resource_version: object["metadata"]["resourceVersion"].as_str().unwrap().to_owned(),
            ..fixtures::deployment("demo", "web", replicas)
        }));
    }

    /// The watch on targets catches up.
    pub(super) fn bring_target(&self) {
        self.replicas.put(Object::Target(Box::new(self.target())));
    }

    pub(super) fn target(&self) -> ReplicaTarget {
        serde_json::from_value(self.api.object(TARGET).unwrap()).unwrap()
    }

    pub(super) fn spec_replicas(&self) -> i32 {
        serde_json::from_value(self.api.object(DEPLOYMENT).unwrap()["spec"]["replicas"].clone()).unwrap()
    }

    pub(super) fn start(&self, identity: &str) -> Running {
        let mut registry = Registry::default();
        let metrics = ReconcilerMetrics::register(&mut registry);
        let settings = LeaseSettings { identity: identity.to_owned(), ..LeaseSettings::new("system", "scalegate", "") };
        let reconciler = Reconciler::new(settings, self.api.client(), self.replicas.clone(), metrics).unwrap();
        let leadership = reconciler.leadership();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(reconciler.run(async move {
            let _ = stopped.await;
        }));
        Running { leadership, stop, task, registry }
    }

    /// The writes on paths that end in `end`: method, status code and body.
    pub(super) fn writes(&self, end: &str) -> Vec<(Method, u16, Value)> {
        let writes = self.api.writes().into_iter().filter(|write| write.path.ends_with(end));
        writes.map(|RecordedWrite { method, code, body, .. }| (method, code, body)).collect()
    }

    pub(super) fn codes(&self, end: &str) -> Vec<u16> {
        self.writes(end).into_iter().map(|(_, code, _)| code).collect()
    }
}

pub(super) struct Running {
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) task: JoinHandle<Result<(), ReconcilerError>>,
    registry: Registry,
}

impl Running {
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}
