//! Follows a directory of policies: a change is loaded beside the set that serves, and takes its place if it is good.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::engine::Engine;
use super::live::Live;
use super::metrics::PolicyMetrics;
use super::set::{self, PolicySet, SetError};

/// How often a set that failed for a file that was missing or another one is looked at again, though nothing changed.
const RETRIES: u32 = 5;

/// Keeps the live set up with its directory.
#[derive(Debug)]
pub struct Reloader {
    engine: Engine,
    directory: Arc<Path>,
    live: Arc<Live>,
    metrics: PolicyMetrics,
    seen: Fingerprint,
    retries: u32,
}

impl Reloader {
    /// Loads the first set.
    pub(super) fn start(
        engine: Engine,
        directory: &Path,
        metrics: PolicyMetrics,
    ) -> Result<(Self, Arc<Live>), SetError> {
        // Taken before the files are read: what changes meanwhile is seen as a change afterwards.
        let seen = Fingerprint::of(directory);
        let set = PolicySet::load(&engine, directory)?;
        metrics.loaded(set.digest());
        tracing::info!(digest = %set.digest(), modules = set.modules().len(), "policies loaded");
        let live = Arc::new(Live::new(set));
        Ok((Self { engine, directory: directory.into(), live: live.clone(), metrics, seen, retries: 0 }, live))
    }

    /// Looks at the directory every `interval` until `shutdown` is done.
    pub async fn run(mut self, interval: Duration, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => self = self.poll().await,
            }
        }
    }

    /// Looks once, and loads what it finds if that has changed.
    async fn poll(self) -> Self {
        let (engine, directory) = (self.engine.clone(), self.directory.clone());
        let (live, metrics) = (self.live.clone(), self.metrics.clone());
        let (seen, retries) = (self.seen.clone(), self.retries);
        match tokio::task::spawn_blocking(|| self.look()).await {
            Ok(this) => this,
            Err(error) => {
                // A module made the loading panic: that set is bad, and the next change is looked at as ever.
                report_failure(&live, &metrics, &format!("loading them failed: {error}"));
                Self { seen: seen.again(), engine, directory, live, metrics, retries }
            }
        }
    }

    fn look(mut self) -> Self {
        let now = self.seen.again();
        let changed = now != self.seen;
        if !changed && self.retries == 0 {
            return self;
        }
        self.retries = if changed { RETRIES } else { self.retries - 1 };
        self.seen = Fingerprint::of(&self.directory);
        match PolicySet::load(&self.engine, &self.directory) {
            Ok(set) => {
                self.retries = 0;
                report_success(&self.live, &self.metrics, set);
            }
            Err(error) => {
                if !error.may_pass() {
                    self.retries = 0;
                }
                report_failure(&self.live, &self.metrics, &error.to_string());
            }
        }
        self
    }
}

fn report_success(live: &Live, metrics: &PolicyMetrics, set: PolicySet) {
    metrics.loaded(set.digest());
    let digest = set.digest().clone();
    if live.replace(set) {
        tracing::info!(%digest, "new policies serve");
    } else {
        tracing::info!(%digest, "the policies are good and as before");
    }
}

fn report_failure(live: &Live, metrics: &PolicyMetrics, message: &str) {
    metrics.failed();
    if live.fail(message) {
        tracing::warn!(error = message, "the new policies cannot be used; the last good ones serve on");
    }
}

/// Tells whether files have changed without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    directory: PathBuf,
    files: BTreeMap<String, Option<Mark>>,
}

/// A file as it was. The path without links changes when the kubelet points `..data` to another directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Fingerprint {
    /// Of `policies.yaml` and the files that it names.
    fn of(directory: &Path) -> Self {
        let files = set::files(directory).into_iter();
        let files = files.map(|file| (file.clone(), Mark::of(&directory.join(file)))).collect();
        Self { directory: directory.to_owned(), files }
    }

    /// The same files, now.
    fn again(&self) -> Self {
        let files = self.files.keys();
        let files = files.map(|file| (file.clone(), Mark::of(&self.directory.join(file)))).collect();
        Self { directory: self.directory.clone(), files }
    }
}

impl Mark {
    fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let metadata: Metadata = path.metadata().ok()?;
        Some(Self { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino(), path })
    }
}
