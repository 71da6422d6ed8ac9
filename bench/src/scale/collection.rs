//! The objects of one kind as an API server keeps them: their versions, and the changes that it sends to watches.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A change of the object at `place` in the list of its kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) place: usize,
}

#[derive(Debug)]
struct State {
    /// The version of each object.
    versions: Vec<u64>,
    changes: Vec<Change>,
    version: u64,
    /// Watches that begin below this version get 410 Gone and must list again.
    floor: u64,
    /// The version up to which a watch has been handed the changes.
    followed: u64,
}

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Collection {
    state: Mutex<State>,
    /// Sends each new version.
    news: watch::Sender<u64>,
}

impl Collection {
    pub(super) fn new(count: usize) -> Self {
        let versions = vec![1; count];
        let state = State { versions, changes: Vec::new(), version: 1, floor: 1, followed: 0 };
        Self { state: Mutex::new(state), news: watch::Sender::new(1) }
    }

    /// The version of the newest change.
    pub(super) fn version(&self) -> u64 {
        self.state().version
    }

    /// The versions of at most `limit` objects from `place` on.
    pub(super) fn versions(&self, place: usize, limit: usize) -> Vec<u64> {
        self.state().versions.iter().skip(place).take(limit).copied().collect()
    }

    /// Changes the object in each of `places` once.
    pub(super) fn change(&self, places: impl IntoIterator<Item = usize>) {
        let mut state = self.state();
        for place in places {
            state.version += 1;
            let version = state.version;
            state.versions[place] = version;
            state.changes.push(Change { version, place });
        }
        self.news.send_replace(state.version);
    }

    /// Forgets all changes: every watch must list again.
    pub(super) fn expire(&self) {
        let mut state = self.state();
        state.version += 1;
        state.floor = state.version;
        state.changes.clear();
        self.news.send_replace(state.version);
    }

    /// Whether the watch has been handed every change.
    pub(super) fn is_followed(&self) -> bool {
        let state = self.state();
        state.followed == state.version
    }

    /// At most `limit` changes after `version`; `None` if they are forgotten.
    pub(super) fn after(&self, version: u64, limit: usize) -> Option<Vec<Change>> {
        let mut state = self.state();
        if version < state.floor {
            return None;
        }
        let from = state.changes.partition_point(|change| change.version <= version);
        let changes: Vec<_> = state.changes[from..].iter().take(limit).copied().collect();
        state.followed = changes.last().map_or(version, |last| last.version);
        Some(changes)
    }

    /// Receives each new version from now on.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
