//! Waits for replicas to be ready, with a line on the terminal that says how far they are.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::arguments::WorkloadName;
use super::connection::Connection;
use super::error::ClientError;
use super::follow::{Event, Follower};
use super::order::Order;
use super::view::Replicas;
use crate::text::{cut, escaped};

/// The most bytes of the live line, so that it fits on one line of a terminal.
const MAX_LINE: usize = 79;

/// How long to wait, from a moment on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    limit: Duration,
    end: Instant,
}

impl Wait {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, end: Instant::now() + limit }
    }

    /// Waits until what a set accepted is ready; the answer that shows it.
    pub(super) async fn until_ready(
        self,
        connection: &Connection,
        name: &WorkloadName,
        accepted: &Value,
    ) -> Result<Value, ClientError> {
        let accepted = Replicas::of(accepted);
        let mut last = accepted.clone();
        let mut line = LiveLine::default();
        let waiting = async {
            let mut follower = Follower::new(connection, Order::follow(name));
            loop {
                match follower.next().await? {
                    Event::Replicas(answer) => {
                        last = Replicas::of(&answer);
                        line.show(&progress(name, &last));
                        if let Some(ended) = verdict(name, &accepted, &last) {
                            return ended.map(|()| answer);
                        }
                    }
                    Event::Gone(_) => {
                        return Err(ClientError::Overtaken(escaped(&format!("{name} is gone")).into_owned()));
                    }
                    Event::Begun | Event::Synced(_) => {}
                }
            }
        };
        let ended = timeout_at(self.end, waiting).await;
        line.clear();
        ended.unwrap_or_else(|_| {
            let after = humantime::format_duration(self.limit);
            Err(ClientError::NotReady(format!("not ready after {after}: {}", progress(name, &last))))
        })
    }
}

/// Whether the wait is over, and how; `None` while it goes on.
fn verdict(name: &WorkloadName, accepted: &Replicas, now: &Replicas) -> Option<Result<(), ClientError>> {
    if !now.has_reached(&accepted.version) {
        return None;
    }
    if now.desired() != accepted.desired() {
        let by = now.target.as_ref().and_then(|target| target.requested_by.as_deref()).unwrap_or("somebody");
        let count = now.desired().unwrap_or_default();
        let what = format!("{by} set {name} to {count} meanwhile");
        return Some(Err(ClientError::Overtaken(escaped(&what).into_owned())));
    }
    if now.progress.ready {
        return Some(Ok(()));
    }
    now.is_stuck().then(|| Err(ClientError::HeldUp(format!("it is held up: {}", progress(name, now)))))
}

/// How far it is, on one line.
fn progress(name: &WorkloadName, now: &Replicas) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
    let updated = now.status.as_ref().map(|status| status.updated_replicas);
    let rollout = now.status.as_ref().map(|status| status.rollout.as_str());
    let (desired, updated, ready) = (number(now.desired()), number(updated), number(now.ready()));
    let mut line = format!("{name}: desired {desired}, updated {updated}, ready {ready}");
    match (now.obstacle(), rollout) {
        (Some(obstacle), _) => line.extend([", ", &obstacle]),
        (None, Some(rollout @ ("failed" | "paused"))) => line.extend([", the rollout is ", rollout]),
        _ => {}
    }
    escaped(&line).into_owned()
}

/// One line of standard error that is written again and again, if it is a terminal.
#[derive(Debug, Default)]
struct LiveLine {
    is_shown: bool,
}

impl LiveLine {
    fn show(&mut self, text: &str) {
        if io::stderr().is_terminal() {
            // Nothing can be done where nobody reads it.
            let _ = write!(io::stderr(), "\r\u{1b}[K{}", cut(text, MAX_LINE));
            self.is_shown = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::cli::client::view::fixtures;

    fn name() -> WorkloadName {
        WorkloadName { namespace: "demo".to_owned(), name: "web".to_owned() }
    }

    #[test]
    fn the_live_line_says_what_holds_it_up() {
        insta::assert_snapshot!("progress", progress(&name(), &Replicas::of(&fixtures::web())));
    }

    #[test]
    fn a_wait_ends_when_the_target_is_ready_stuck_or_overtaken() {
        let accepted = Replicas::of(&fixtures::web());
        let ended = |now: &Replicas| verdict(&name(), &accepted, now);
        assert!(ended(&accepted).is_none());
        let mut before = accepted.clone();
        before.version = "none:1".to_owned();
        before.progress.ready = true;
        assert!(ended(&before).is_none(), "the cache has not seen the target yet");

        let mut ready = accepted.clone();
        ready.progress.ready = true;
        assert!(ended(&ready).unwrap().is_ok());
        let mut failed = accepted.clone();
        failed.status.as_mut().unwrap().rollout = "failed".to_owned();
        let failed = ended(&failed).unwrap().unwrap_err();
        assert_eq!(failed.exit_code(), 1);
        insta::assert_snapshot!("held_up", failed.to_string());
        let mut other = ready.clone();
        other.version = "440caa34:2".to_owned();
        other.target.as_mut().unwrap().replicas = 7;
        let overtaken = ended(&other).unwrap().unwrap_err();
        assert_eq!(overtaken.exit_code(), 5);
        insta::assert_snapshot!("overtaken", overtaken.to_string());
    }
}
