//! Loads again what has changed.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::Fingerprint;

/// How often files that may have been caught halfway through a change are tried again, though nothing changed since.
pub(crate) const RETRIES: u32 = 5;
/// How long after the last attempt files are tried again that time alone may mend.
const SLOW_RETRY: Duration = Duration::from_mins(1);

/// What is loaded from files.
pub(crate) trait Source: Send + 'static {
    /// The files that matter by now.
    fn files(&self) -> Vec<PathBuf>;

    /// Loads them, and tells of it. What served before serves on after a failure.
    fn load(&mut self) -> Result<(), Outlook>;

    /// Tells that loading panicked.
    fn panicked(&self, cause: &dyn fmt::Display);
}

/// Whether a failure may pass though the files stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It will not.
    Final,
    /// It may have been the middle of a change: the next looks try again.
    Torn,
    /// It may also pass with time, as for a certificate that is not valid yet: once a minute is tried again.
    Timed,
}

/// Follows the files of a source.
#[derive(Debug)]
pub(crate) struct Follower<S>(Arc<Mutex<State<S>>>);

#[derive(Debug)]
struct State<S> {
    source: S,
    seen: Fingerprint,
    /// How many of the next looks try again though nothing changed.
    retries: u32,
    /// When to try again after that.
    slow_retry: Option<Instant>,
}

impl<S: Source> Follower<S> {
    /// Follows `source`, which was loaded after its files were `seen`: what changed meanwhile is a change.
    pub(crate) fn new(source: S, seen: Fingerprint) -> Self {
        Self(Arc::new(Mutex::new(State { source, seen, retries: 0, slow_retry: None })))
    }

    /// Looks at the files every `interval` until `shutdown` is done.
    pub(crate) async fn run(self, interval: Duration, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => self.poll().await,
            }
        }
    }

    /// Looks once, and loads what it finds if that has changed or should be tried again.
    pub(crate) async fn poll(&self) {
        let state = self.0.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || lock(&state).look()).await {
            // These files are bad, and the next change is looked at as ever.
            let mut state = lock(&self.0);
            state.retries = 0;
            state.source.panicked(&error);
        }
    }

    #[cfg(test)]
    pub(crate) fn with_source<T>(&self, ask: impl FnOnce(&S) -> T) -> T {
        ask(&lock(&self.0).source)
    }
}

/// A panic leaves nothing half done: each field is set at once.
fn lock<S>(state: &Mutex<State<S>>) -> MutexGuard<'_, State<S>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Source> State<S> {
    fn look(&mut self) {
        let now = self.seen.again();
        let changed = now != self.seen;
        let due = self.slow_retry.is_some_and(|at| at <= Instant::now());
        if !changed && self.retries == 0 && !due {
            return;
        }
        self.retries = if changed { RETRIES } else { self.retries.saturating_sub(1) };
        self.slow_retry = None;
        self.seen = now;
        // Before they are read, so that what changes meanwhile is seen as a change by the next look.
        self.seen = Fingerprint::of(self.source.files());
        let outcome = self.source.load();
        if matches!(outcome, Ok(()) | Err(Outlook::Final)) {
            self.retries = 0;
        }
        self.slow_retry = (outcome == Err(Outlook::Timed)).then(|| Instant::now() + SLOW_RETRY);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, and one source panics")]

    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Loads a number of `Outlook`, or panics.
    struct Script {
        file: PathBuf,
        attempts: u32,
        panics: Arc<Mutex<u32>>,
    }

    impl Source for Script {
        fn files(&self) -> Vec<PathBuf> {
            vec![self.file.clone()]
        }

        fn load(&mut self) -> Result<(), Outlook> {
            self.attempts += 1;
            match fs::read_to_string(&self.file).unwrap().trim() {
                "good" => Ok(()),
                "final" => Err(Outlook::Final),
                "torn" => Err(Outlook::Torn),
                "timed" => Err(Outlook::Timed),
                _ => panic!("as the test asked"),
            }
        }

        fn panicked(&self, _: &dyn fmt::Display) {
            *self.panics.lock().unwrap() += 1;
        }
    }

    struct Test {
        directory: TempDir,
        follower: Follower<Script>,
    }

    impl Test {
        fn new() -> Self {
            let directory = TempDir::new().unwrap();
            let file = directory.path().join("file");
            fs::write(&file, "good").unwrap();
            let seen = Fingerprint::of([file.clone()]);
            let source = Script { file, attempts: 0, panics: Arc::default() };
            Self { directory, follower: Follower::new(source, seen) }
        }

        /// How many attempts to load `looks` looks make after the file was made to hold `content`.
        async fn attempts(&self, content: &str, looks: u32) -> u32 {
            let before = self.follower.with_source(|source| source.attempts);
            // Of another length each time, for file systems with coarse times.
            let length = usize::try_from(before).unwrap();
            fs::write(self.directory.path().join("file"), format!("{content}{}", " ".repeat(length))).unwrap();
            for _ in 0..looks {
                self.follower.poll().await;
            }
            self.follower.with_source(|source| source.attempts) - before
        }
    }

    #[tokio::test]
    async fn each_change_is_loaded_once_and_tried_again_as_often_as_it_may_help() {
        let test = Test::new();
        assert_eq!(test.follower.with_source(|source| source.attempts), 0);
        assert_eq!(test.attempts("good", 3).await, 1);
        assert_eq!(test.attempts("final", 3).await, 1);
        assert_eq!(test.attempts("torn", 3 * RETRIES).await, 1 + RETRIES);
        assert_eq!(test.attempts("good", 3).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_time_may_mend_is_tried_again_each_minute() {
        let test = Test::new();
        assert_eq!(test.attempts("timed", 3 * RETRIES).await, 1 + RETRIES);
        for _ in 0..3 {
            let before = test.follower.with_source(|source| source.attempts);
            tokio::time::advance(SLOW_RETRY).await;
            test.follower.poll().await;
            test.follower.poll().await;
            assert_eq!(test.follower.with_source(|source| source.attempts), before + 1);
        }
        assert_eq!(test.attempts("good", 1).await, 1);
        tokio::time::advance(SLOW_RETRY).await;
        let before = test.follower.with_source(|source| source.attempts);
        test.follower.poll().await;
        assert_eq!(test.follower.with_source(|source| source.attempts), before);
    }

    #[tokio::test]
    async fn a_panic_is_told_once_and_the_next_change_is_loaded_as_ever() {
        let test = Test::new();
        assert_eq!(test.attempts("panic", 3).await, 1);
        assert_eq!(*test.follower.with_source(|source| source.panics.clone()).lock().unwrap(), 1);
        assert_eq!(test.attempts("good", 3).await, 1);
    }

    #[tokio::test]
    async fn the_task_ends_with_its_shutdown() {
        Test::new().follower.run(Duration::from_hours(1), std::future::ready(())).await;
    }
}
