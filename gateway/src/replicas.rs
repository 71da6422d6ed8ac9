//! What the cluster holds, as the watches last told it.
//!
//! Answers to reads and the facts for policies come from here; a read never calls the API server. Four watches feed
//! the cache: Deployments, `ReplicaTarget`s, `HorizontalPodAutoscaler`s and Namespaces, each kept in a slim form. Where
//! namespaces are listed, there are three watches in each of them instead, and the labels of namespaces are not known.
//!
//! # What the age means
//!
//! The age of a watch is zero while its stream is open and has shown a sign of life (an event, a bookmark, its opening)
//! within [`ReplicasSettings::idle`]: the API server pushes changes into an open stream, so there is nothing newer to
//! know. An API server that stops closes its streams at once, so an outage is noticed at once, and from then on the age
//! is the time since the stream broke, until a new one is open. A connection that dies in silence is noticed when
//! `idle` has passed, and then the age counts from its last sign of life. A watch that never listed is as old as the cache.
//! An observation is as old as the oldest of the watches that look at its namespace, the cache as the oldest of all.
//!
//! An API server whose etcd is away keeps its streams open, closes them in time and opens new ones, all out of its memory,
//! and its bookmarks are the same as those of a quiet cluster. So callers whose calls need etcd
//! report to [`Replicas::note_storage`] when these fail, and then everything is at least as old as the last answered call.
//!
//! During an outage and during a relist the last known state serves on. Before every watch has listed once there is none,
//! and nothing may be decided on the cache.

#[cfg(test)]
pub(crate) mod fixtures;

mod autoscaler;
mod cache;
mod changes;
mod contact;
mod decode;
mod feeds;
mod kind;
mod links;
mod metrics;
mod model;
mod scope;
mod state;
mod version;
mod waiters;
mod watch;

pub use autoscaler::{Autoscaler, MOST_AUTOSCALERS, Maker};
pub use changes::{CacheChange, Changes, TimedOut};
pub use contact::{Contact, ContactState, WatchContact, Watched};
pub use feeds::{Changed, Feed, Topic};
pub use metrics::ReplicasMetrics;
pub use model::{MOST_METADATA, MOST_OBSTACLE, Observation, Obstacle, Rollout, Workload};
pub use scope::Scope;
pub use version::{InvalidVersion, Version};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::workload::{WorkloadKind, WorkloadRef};
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use self::cache::Cache;
use self::kind::{AutoscalerKind, DeploymentKind, NamespaceKind, TargetKind};
use self::watch::Watch;

/// How the cache watches and what it keeps.
#[derive(Debug, Clone)]
pub struct ReplicasSettings {
    /// The namespaces to watch; whatever lies elsewhere does not exist for the gateway. Default none, which is the whole
    /// cluster.
    pub namespaces: Vec<String>,
    /// The annotations of Deployments that the cache keeps: exact keys, or prefixes ending in `*`. Default
    /// `scalegate.dev/*`. Others never enter it: `kubectl.kubernetes.io/last-applied-configuration` holds secrets.
    pub annotations: Vec<String>,
    /// How many objects one page of a list asks for, at least 1. Default 500.
    pub page_size: u32,
    /// After how long the API server closes a watch, in whole seconds. Default 20 s. A close in good order is the only
    /// sign of life to count on: kube-apiserver sends no bookmarks for a kind that has not changed since it started.
    pub watch_timeout: Duration,
    /// How long a watch may be silent before it counts as dead; longer than `watch_timeout`. Default 25 s.
    pub idle: Duration,
    /// How long a page of a list or the opening of a watch may take. Default 30 s.
    pub request_timeout: Duration,
}

impl Default for ReplicasSettings {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            annotations: vec!["scalegate.dev/*".to_owned()],
            page_size: 500,
            watch_timeout: Duration::from_secs(20),
            idle: Duration::from_secs(25),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// A watch task ended, which only a defect makes it do; the cache would go stale unnoticed, so the process should end.
#[derive(Debug, Error)]
#[error("a watch of the cluster ended")]
pub struct WatchEnded(#[source] Option<JoinError>);

/// The watch cache. Clones share one state.
#[derive(Debug, Clone)]
pub struct Replicas(Arc<Cache>);

/// Tells how the watches are, and nothing of what they hold.
#[derive(Debug, Clone)]
pub struct Monitor(Arc<Cache>);

impl Monitor {
    /// How each watch is in contact with the API server now.
    pub fn contact(&self) -> Contact {
        self.0.contact()
    }
}

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// What was found, in order of namespace and name; possibly nothing, although there is more to look at.
    pub items: Vec<Observation>,
    /// How many names were looked at.
    pub scanned: usize,
    /// The name to go on after; `None` at the end of the list.
    pub next: Option<WorkloadRef>,
}

impl Replicas {
    /// An empty cache, and the future that fills it and keeps it fresh until it is dropped.
    ///
    /// The future retries every failure for ever; it ends only when a watch task panicked.
    pub fn new(
        settings: ReplicasSettings,
        client: kube::Client,
        metrics: &ReplicasMetrics,
    ) -> (Self, impl Future<Output = WatchEnded> + Send + use<>) {
        let scopes = Scope::of(&settings.namespaces);
        let cache = Arc::new(Cache::new(&scopes));
        metrics.attach(&cache);
        let watch = Watch::new(settings, client, cache.clone(), metrics.clone());
        let drive = async move {
            let mut watches = JoinSet::new();
            for scope in scopes {
                for watched in scope.watched() {
                    let (watch, scope) = (watch.clone(), scope.clone());
                    match watched {
                        Watched::Deployments => watches.spawn(watch.run::<DeploymentKind>(scope)),
                        Watched::Targets => watches.spawn(watch.run::<TargetKind>(scope)),
                        Watched::Autoscalers => watches.spawn(watch.run::<AutoscalerKind>(scope)),
                        Watched::Namespaces => watches.spawn(watch.run::<NamespaceKind>(scope)),
                    };
                }
            }
            WatchEnded(watches.join_next().await.and_then(Result::err))
        };
        (Self(cache), drive)
    }

    /// Everything known about `name` now, taken at one instant.
    pub fn observe(&self, name: &WorkloadRef) -> Observation {
        self.0.observe(name)
    }

    /// The next `limit` workloads of a kind (at most, and at least one) after `after`, in one namespace or all, whose labels
    /// `selector` matches. A page looks at a bounded number of names, so it may be short. Each item is consistent in
    /// itself; a workload that exists throughout appears exactly once.
    pub fn page(
        &self,
        kind: WorkloadKind,
        namespace: Option<&str>,
        after: Option<&WorkloadRef>,
        selector: &kube::core::Selector,
        limit: usize,
    ) -> Page {
        self.0.page(kind, namespace, after, selector, limit)
    }

    /// The names that have a `ReplicaTarget`, in order, whether or not the workload exists.
    pub fn targets(&self) -> Vec<WorkloadRef> {
        self.0.targets()
    }

    /// Waits until every watch has listed once. A watch on Namespaces that the API server forbids is not waited for.
    pub async fn synced(&self) {
        self.0.synced().await;
    }

    /// Returns whether every watch has listed once. Before that, what is not in the cache may exist.
    pub fn is_synced(&self) -> bool {
        self.0.is_synced()
    }

    /// Notes that the API server's storage last answered at `unconfirmed` and no longer does, or that it does. No watch
    /// shows this.
    pub fn note_storage(&self, unconfirmed: Option<Instant>) {
        self.0.note_storage(unconfirmed);
    }

    /// A view of the watches for those who may not see the Deployments.
    pub fn monitor(&self) -> Monitor {
        Monitor(self.0.clone())
    }

    /// The changes from now on.
    pub fn subscribe(&self) -> Changes {
        self.0.subscribe()
    }

    /// How long ago the API server last confirmed what is known about `namespace`, or about the whole cluster.
    pub fn age(&self, namespace: Option<&str>) -> Duration {
        self.0.age(namespace)
    }

    /// The changes of the workloads of `topic` from now on.
    pub fn feed(&self, topic: Topic) -> Feed {
        self.0.feed(topic)
    }

    /// Waits until what is known about `name` satisfies `wanted`, which is asked at once and after each change of the
    /// Deployment, its target or its autoscalers; no change is missed. Changes of the namespace's labels wake nobody.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] at `deadline`, with the last state seen.
    pub async fn wait_until(
        &self,
        name: &WorkloadRef,
        deadline: Instant,
        wanted: impl Fn(&Observation) -> bool,
    ) -> Result<Observation, TimedOut> {
        let waiter = self.0.wait_for(name);
        loop {
            let mut woken = std::pin::pin!(waiter.wake().notified());
            // From here on a change is not missed.
            woken.as_mut().enable();
            let seen = self.observe(name);
            if wanted(&seen) {
                return Ok(seen);
            }
            if tokio::time::timeout_at(deadline, woken).await.is_err() {
                return Err(TimedOut { last: Box::new(seen) });
            }
        }
    }
}
