//! What streams show of workloads, rendered once for all streams that show the same objects.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::policy::{Facts, Get, Permit};

use super::view::ReplicasView;

/// How many renderings are kept.
const SLOTS: usize = 256;
/// How long one is used: its age is not rendered again.
const LONGEST: Duration = Duration::from_millis(100);

/// A workload, as streams show it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) view: ReplicasView,
    /// See [`ReplicasView::fingerprint`].
    pub(super) fingerprint: u64,
    event: OnceLock<Bytes>,
}

impl Rendered {
    fn new(view: ReplicasView) -> Self {
        Self { fingerprint: view.fingerprint(), view, event: OnceLock::new() }
    }

    /// The bytes that `render` makes of the view, which always makes the same.
    pub(super) fn event(&self, render: impl FnOnce(&ReplicasView) -> Bytes) -> &Bytes {
        self.event.get_or_init(|| render(&self.view))
    }
}

/// The latest renderings. Two workloads that share a slot displace each other.
#[derive(Debug)]
pub(super) struct Renderings {
    hasher: RandomState,
    slots: Vec<Mutex<Option<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    facts: Facts,
    at: Instant,
    rendered: Arc<Rendered>,
}

impl Default for Renderings {
    fn default() -> Self {
        Self { hasher: RandomState::new(), slots: (0..SLOTS).map(|_| Mutex::default()).collect() }
    }
}

impl Renderings {
    /// What a permit shows; `None` where there is no such workload.
    pub(super) fn of(&self, permit: &Permit<Get>) -> Option<Arc<Rendered>> {
        let observation = permit.observation();
        let slot = usize::try_from(self.hasher.hash_one(&observation.name) % SLOTS as u64).unwrap_or_default();
        // Streams that want the same rendering wait here for it. A panic under the lock leaves the previous rendering.
        let mut slot = self.slots.get(slot)?.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.as_ref().filter(|kept| kept.at.elapsed() < LONGEST && kept.facts.are_those_of(observation));
        if let Some(kept) = kept {
            return Some(kept.rendered.clone());
        }
        let rendered = Arc::new(Rendered::new(ReplicasView::of(permit)?));
        *slot = Some(Kept { facts: Facts::of(observation), at: Instant::now(), rendered: rendered.clone() });
        Some(rendered)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::policy::testing::permit;
    use crate::replicas::Replicas;
    use crate::replicas::fixtures::{Object, deployment};
    use crate::workload::WorkloadRef;

    #[tokio::test(start_paused = true)]
    async fn what_was_rendered_is_shared_until_the_workload_changes_or_its_age_is_old() {
        let web = WorkloadRef::deployment("demo", "web");
        let replicas = Replicas::from_objects([Object::Deployment(deployment("demo", "web", 3))]);
        let renderings = Renderings::default();
        let rendered = || renderings.of(&permit(replicas.observe(&web))).unwrap();
        let first = rendered();
        let rendered_once = first.event(|view| Bytes::from(view.version.clone()));
        assert!(Arc::ptr_eq(&first, &rendered()));
        assert_eq!(first.event(|_| Bytes::new()), rendered_once);

        tokio::time::advance(LONGEST).await;
        let later = rendered();
        assert!(!Arc::ptr_eq(&first, &later));
        assert_eq!(first.fingerprint, later.fingerprint);

        replicas.put(Object::Deployment(deployment("demo", "web", 4)));
        assert_ne!(rendered().fingerprint, first.fingerprint);
        replicas.delete_deployment(&web);
        assert!(renderings.of(&permit(replicas.observe(&web))).is_none());
    }
}
