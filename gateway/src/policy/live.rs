//! The set that serves.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;

use super::set::PolicySet;
use crate::files::{LastFailure, ReloadFailure};

/// The last good set, and why the newest is not it.
#[derive(Debug)]
pub(super) struct Live {
    set: ArcSwap<PolicySet>,
    /// Wakes those who wait for another set.
    swapped: watch::Sender<()>,
    failure: LastFailure,
}

/// Which policies serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// SHA-256 over `policies.yaml` and its modules, lower-case hexadecimal.
    pub digest: String,
    /// When this set began to serve.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Its modules, in their order.
    pub modules: Vec<ModuleStatus>,
    /// Why a newer set does not serve; `None` where there is none.
    pub last_error: Option<ReloadFailure>,
}

/// One module that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleStatus {
    /// Its name in `policies.yaml`.
    pub name: String,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: String,
    /// `enforce`.
    pub mode: &'static str,
}

/// Reports the loaded policies to operators. A client needs a permit to `describe` them.
#[derive(Debug)]
pub struct Monitor(Arc<Live>);

impl Monitor {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self(live)
    }

    /// Which policies serve, and why newer ones do not.
    pub fn status(&self) -> PolicyStatus {
        self.0.status()
    }
}

/// Without what follows the first line: of a file that cannot be parsed, an excerpt, which may name clients.
fn first_line(mut failure: ReloadFailure) -> ReloadFailure {
    failure.message.truncate(failure.message.find('\n').unwrap_or(failure.message.len()));
    failure
}

impl Live {
    pub(super) fn new(set: PolicySet) -> Self {
        Self { set: ArcSwap::from_pointee(set), swapped: watch::Sender::new(()), failure: LastFailure::default() }
    }

    pub(super) fn set(&self) -> Arc<PolicySet> {
        self.set.load_full()
    }

    /// Lets `set` serve. Returns the one before, if it is another; the same one keeps its time.
    pub(super) fn replace(&self, set: PolicySet) -> Option<Arc<PolicySet>> {
        self.failure.clear();
        let other = self.set.load().digest() != set.digest();
        other.then(|| {
            let before = self.set.swap(Arc::new(set));
            self.swapped.send_replace(());
            before
        })
    }

    /// Changes with the set.
    pub(super) fn swaps(&self) -> watch::Receiver<()> {
        self.swapped.subscribe()
    }

    /// Whether `message` is another than the one before.
    pub(super) fn fail(&self, message: &str) -> bool {
        self.failure.set(message)
    }

    pub(super) fn status(&self) -> PolicyStatus {
        let set = self.set.load();
        let modules = set.modules().iter();
        PolicyStatus {
            digest: set.digest().to_string(),
            since: set.loaded(),
            modules: modules
                .map(|module| ModuleStatus {
                    name: module.name.clone(),
                    sha256: module.sha256.clone(),
                    mode: "enforce",
                })
                .collect(),
            last_error: self.failure.get().map(first_line),
        }
    }
}
