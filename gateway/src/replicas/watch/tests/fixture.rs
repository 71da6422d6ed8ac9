//! A watch on an API server that the test plays.

use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::task::JoinHandle;

use super::super::super::{CacheChange, Changes, Replicas, WatchContact, Watched};
use super::super::*;
use crate::kubernetes::testing::script::{Call, ScriptedApi, Stream, scripted_api};
use crate::workload::WorkloadRef;

/// A watch of one kind on a fake API server.
pub(super) struct Fixture {
    pub(super) api: ScriptedApi,
    pub(super) replicas: Replicas,
    pub(super) changes: Changes,
    pub(super) registry: Registry,
    pub(super) running: JoinHandle<()>,
}

pub(super) fn watching<K: WatchedKind>() -> Fixture {
    watching_in::<K>(&[Scope::cluster()])
}

/// A cache of `scopes`, with one watch, in the first of them.
pub(super) fn watching_in<K: WatchedKind>(scopes: &[Scope]) -> Fixture {
    let (client, api) = scripted_api();
    let mut registry = Registry::default();
    let metrics = ReplicasMetrics::register(&mut registry);
    let cache = Arc::new(Cache::new(scopes));
    metrics.attach(&cache);
    let watch = Watch::new(ReplicasSettings::default(), client, cache.clone(), metrics);
    let running = tokio::spawn(watch.run::<K>(scopes[0].clone()));
    let replicas = Replicas(cache);
    Fixture { api, changes: replicas.subscribe(), replicas, registry, running }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Fixture {
    /// Answers the list with `items` at version 10, and the watch that follows.
    pub(super) async fn listed(&mut self, items: &[Value]) -> Stream {
        self.api.next().await.list("10", items, None);
        assert_eq!(self.changes.next().await, CacheChange::All);
        self.watch_from("10").await
    }

    pub(super) async fn watch_from(&mut self, version: &str) -> Stream {
        let call = self.api.next().await;
        assert_eq!(call.parameter("watch").as_deref(), Some("true"), "{}", call.uri());
        assert_eq!(call.parameter("resourceVersion").as_deref(), Some(version), "{}", call.uri());
        call.stream()
    }

    pub(super) async fn changed(&mut self, name: &str) {
        assert_eq!(self.changes.next().await, CacheChange::One(demo(name)));
    }

    pub(super) fn count(&self, name: &str) -> Option<i32> {
        self.replicas.observe(&demo(name)).workload.map(|workload| workload.replicas)
    }

    pub(super) fn contact(&self) -> WatchContact {
        self.replicas.monitor().contact().watches[Watched::Deployments as usize].clone()
    }

    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

pub(super) fn demo(name: &str) -> WorkloadRef {
    WorkloadRef::deployment("demo", name)
}

pub(super) fn deployment(name: &str, version: &str, replicas: i32) -> Value {
    json!({
        "metadata": {"namespace": "demo", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}}
    })
}

pub(super) fn undecodable(name: &str, version: &str) -> Value {
    json!({"metadata": {"namespace": "demo", "name": name, "resourceVersion": version}, "spec": {"replicas": "x"}})
}

pub(super) fn is_a_list(call: &Call) -> bool {
    call.parameter("watch").is_none()
}
