//! Follows a directory of policies: a change is loaded beside the set that serves, and takes its place if it is good.

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::live::Live;
use super::metrics::PolicyMetrics;
use super::set::{self, Loader, PolicySet, SetError};
use crate::files::{Fingerprint, Follower, Outlook, Source};

/// How often to check whether requests still use a replaced set, and the pause between checks.
const LOOKS: u32 = 50;
const LOOK: Duration = Duration::from_millis(10);

/// Keeps the live set up with its directory.
#[derive(Debug)]
pub struct PolicyReloader(Follower<Directory>);

#[derive(Debug)]
struct Directory {
    loader: Loader,
    path: PathBuf,
    live: Arc<Live>,
    metrics: PolicyMetrics,
}

impl PolicyReloader {
    /// Loads the first set.
    pub(super) fn start(
        mut loader: Loader,
        path: &Path,
        metrics: PolicyMetrics,
    ) -> Result<(Self, Arc<Live>), SetError> {
        // Taken before the files are read: what changes meanwhile is seen as a change afterwards.
        let seen = Fingerprint::of(set::files(path));
        let set = loader.load(path)?;
        metrics.loaded(set.digest());
        tracing::info!(digest = %set.digest(), modules = set.modules().len(), "policies loaded");
        let live = Arc::new(Live::new(set));
        let directory = Directory { loader, path: path.to_owned(), live: live.clone(), metrics };
        Ok((Self(Follower::new(directory, seen)), live))
    }

    /// Looks at the directory every `interval` until `shutdown` is done.
    pub async fn run(self, interval: Duration, shutdown: impl Future<Output = ()>) {
        self.0.run(interval, shutdown).await;
    }
}

impl Source for Directory {
    fn files(&self) -> Vec<PathBuf> {
        set::files(&self.path)
    }

    fn load(&mut self) -> Result<(), Outlook> {
        match self.loader.load(&self.path) {
            Ok(set) => {
                self.succeeded(set);
                Ok(())
            }
            Err(error) => {
                self.failed(&error.to_string());
                Err(if error.may_pass() { Outlook::Torn } else { Outlook::Final })
            }
        }
    }

    fn panicked(&self, cause: &dyn fmt::Display) {
        self.failed(&format!("loading them failed: {cause}"));
    }
}

/// Drops a replaced set on this thread once no request uses it, since freeing its code and answers takes a while.
fn release(before: Arc<PolicySet>) {
    for _ in 0..LOOKS {
        if Arc::strong_count(&before) == 1 {
            break;
        }
        thread::sleep(LOOK);
    }
    drop(before);
}

impl Directory {
    fn succeeded(&self, set: PolicySet) {
        self.metrics.loaded(set.digest());
        let digest = set.digest().clone();
        if let Some(before) = self.live.replace(set) {
            tracing::info!(%digest, compiled = self.loader.compiled(), "new policies serve");
            release(before);
        } else {
            tracing::info!(%digest, "the policies are good and as before");
        }
    }

    fn failed(&self, message: &str) {
        self.metrics.failed();
        if self.live.fail(message) {
            tracing::warn!(error = message, "the new policies cannot be used; the last good ones serve on");
        }
    }
}
