//! Feeds: which of the workloads that a subscriber follows have changed, each named once however often it did.
//!
//! A feed never makes a watch wait and holds at most [`MOST_NAMES`] names: a subscriber that is slow learns late, and
//! then sees the newest state alone. A change costs no more the more feeds follow other workloads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::cache::Cache;
use super::changes::CacheChange;
use crate::workload::{WorkloadKind, WorkloadRef};

/// How many names a feed holds: beyond it, all workloads count as changed.
const MOST_NAMES: usize = 1_000;

/// Which workloads a feed is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One, whether or not it exists.
    Workload(WorkloadRef),
    /// All of a kind, in one namespace or in all.
    Workloads {
        /// The kind.
        kind: WorkloadKind,
        /// The namespace.
        namespace: Option<String>,
    },
}

impl Topic {
    /// The topics that a change of `name` concerns.
    fn of(name: &WorkloadRef) -> [Self; 3] {
        let all_in = |namespace| Self::Workloads { kind: name.kind, namespace };
        [Self::Workload(name.clone()), all_in(Some(name.namespace.clone())), all_in(None)]
    }

    /// Whether some of its workloads lie in `namespace`.
    fn reaches(&self, namespace: &str) -> bool {
        match self {
            Self::Workload(name) => name.namespace == namespace,
            Self::Workloads { namespace: only, .. } => only.as_ref().is_none_or(|only| only == namespace),
        }
    }
}

/// What has changed since a subscriber last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These, in order.
    Names(BTreeSet<Arc<WorkloadRef>>),
    /// Any of them may have.
    All,
}

impl Changed {
    fn none() -> Self {
        Self::Names(BTreeSet::new())
    }

    fn add(&mut self, name: &Arc<WorkloadRef>) {
        let Self::Names(names) = self else { return };
        names.insert(name.clone());
        if names.len() > MOST_NAMES {
            *self = Self::All;
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Self::Names(names) if names.is_empty())
    }
}

/// All feeds, by what they are about.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    by_topic: Mutex<HashMap<Topic, BTreeMap<u64, Arc<Inbox>>>>,
    next: AtomicU64,
}

/// What waits for one subscriber.
#[derive(Debug)]
struct Inbox {
    changed: Mutex<Changed>,
    wake: Notify,
}

/// A subscription, until it is dropped.
#[derive(Debug)]
pub struct Feed {
    cache: Arc<Cache>,
    topic: Topic,
    id: u64,
    inbox: Arc<Inbox>,
}

impl Feeds {
    /// Tells the feeds that `change` concerns.
    pub(super) fn tell(&self, change: &CacheChange) {
        let by_topic = self.lock();
        if by_topic.is_empty() {
            return;
        }
        match change {
            CacheChange::All => by_topic.values().flat_map(BTreeMap::values).for_each(|inbox| inbox.put_all()),
            CacheChange::One(name) => {
                let topics = Topic::of(name);
                let name = Arc::new(name.clone());
                let inboxes = topics.iter().filter_map(|topic| by_topic.get(topic)).flat_map(BTreeMap::values);
                inboxes.for_each(|inbox| inbox.put(&name));
            }
        }
    }

    /// Tells the feeds that the labels of `namespace` have changed.
    pub(super) fn relabelled(&self, namespace: &str) {
        let by_topic = self.lock();
        let reached = by_topic.iter().filter(|(topic, _)| topic.reaches(namespace));
        reached.flat_map(|(_, inboxes)| inboxes.values()).for_each(|inbox| inbox.put_all());
    }

    /// A feed of the changes from now on.
    pub(super) fn subscribe(&self, cache: Arc<Cache>, topic: Topic) -> Feed {
        let inbox = Arc::new(Inbox { changed: Mutex::new(Changed::none()), wake: Notify::new() });
        let id = self.next.fetch_add(1, Relaxed);
        self.lock().entry(topic.clone()).or_default().insert(id, inbox.clone());
        Feed { cache, topic, id, inbox }
    }

    fn unsubscribe(&self, topic: &Topic, id: u64) {
        let mut by_topic = self.lock();
        let Some(inboxes) = by_topic.get_mut(topic) else { return };
        inboxes.remove(&id);
        if inboxes.is_empty() {
            by_topic.remove(topic);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, BTreeMap<u64, Arc<Inbox>>>> {
        self.by_topic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn put(&self, name: &Arc<WorkloadRef>) {
        self.lock().add(name);
        self.wake.notify_one();
    }

    fn put_all(&self) {
        *self.lock() = Changed::All;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Waits until something has changed since the last call. Cancelling it loses no change.
    pub async fn changed(&self) -> Changed {
        loop {
            let changed = std::mem::replace(&mut *self.inbox.lock(), Changed::none());
            if !changed.is_none() {
                return changed;
            }
            // A change since then has left a permit.
            self.inbox.wake.notified().await;
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.cache.feeds().unsubscribe(&self.topic, self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures::FutureExt;

    use super::*;

    fn cache() -> Arc<Cache> {
        Arc::new(Cache::new(&[]))
    }

    fn subscribe(cache: &Arc<Cache>, topic: Topic) -> Feed {
        cache.feeds().subscribe(cache.clone(), topic)
    }

    fn workloads(namespace: Option<&str>) -> Topic {
        Topic::Workloads { kind: WorkloadKind::Deployment, namespace: namespace.map(str::to_owned) }
    }

    fn name(namespace: &str, name: &str) -> WorkloadRef {
        WorkloadRef::deployment(namespace, name)
    }

    /// What has changed, as names without their namespaces.
    fn seen(feed: &Feed) -> Option<Vec<String>> {
        Some(match feed.changed().now_or_never()? {
            Changed::Names(names) => names.iter().map(|name| name.name.clone()).collect(),
            Changed::All => vec!["all".to_owned()],
        })
    }

    #[test]
    fn a_feed_names_each_of_its_workloads_that_changed_once_and_no_other() {
        let cache = cache();
        let (one, namespace, all) = (
            subscribe(&cache, Topic::Workload(name("demo", "web"))),
            subscribe(&cache, workloads(Some("demo"))),
            subscribe(&cache, workloads(None)),
        );
        for changed in [name("demo", "web"), name("demo", "api"), name("demo", "web"), name("other", "web")] {
            cache.feeds().tell(&CacheChange::One(changed));
        }
        assert_eq!(seen(&one).unwrap(), ["web"]);
        assert_eq!(seen(&namespace).unwrap(), ["api", "web"]);
        assert_eq!(seen(&all).unwrap(), ["api", "web", "web"]);
        assert_eq!(seen(&all), None);
    }

    #[test]
    fn what_concerns_all_and_what_exceeds_the_bound_is_not_named() {
        let cache = cache();
        let (feed, elsewhere) = (subscribe(&cache, workloads(Some("demo"))), subscribe(&cache, workloads(Some("b"))));
        cache.feeds().tell(&CacheChange::All);
        assert_eq!(seen(&feed).unwrap(), ["all"]);
        assert_eq!(seen(&elsewhere).unwrap(), ["all"]);
        cache.feeds().relabelled("demo");
        assert_eq!(seen(&feed).unwrap(), ["all"]);
        assert_eq!(seen(&elsewhere), None);
        for number in 0..=MOST_NAMES {
            cache.feeds().tell(&CacheChange::One(name("demo", &number.to_string())));
        }
        assert_eq!(seen(&feed).unwrap(), ["all"]);
    }

    #[test]
    fn nothing_is_kept_of_subscribers_that_left() {
        let cache = cache();
        let (one, other) = (subscribe(&cache, workloads(None)), subscribe(&cache, workloads(None)));
        drop(one);
        assert_eq!(cache.feeds().lock().len(), 1);
        drop(other);
        assert_eq!(cache.feeds().lock().len(), 0);
    }
}
