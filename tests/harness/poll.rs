//! Waiting for what cannot be watched: asked again and again until a deadline that ends in an explanation.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How long something that should happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The pause between two attempts: short beside what is waited for, long beside what an attempt costs.
const PAUSE: Duration = Duration::from_millis(50);

/// Repeats `attempt` until it breaks with a value.
///
/// An attempt that continues gives the reason why it is not done yet; when `limit` has passed, the last reason is part
/// of the error. An attempt that fails ends the wait at once with its error.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<ControlFlow<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let reason = match attempt().await? {
            ControlFlow::Break(value) => return Ok(value),
            ControlFlow::Continue(reason) => reason,
        };
        if Instant::now() >= deadline {
            bail!("waited {} s for {what}; last: {reason}", limit.as_secs());
        }
        sleep(PAUSE).await;
    }
}

/// Repeats `question` until it has an answer, or [`PATIENCE`] ends.
pub async fn eventually<T>(what: &str, question: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    eventually_within(PATIENCE, what, question).await
}

/// Repeats `question` until it has an answer. One that fails is repeated too: its error ends the wait only at `limit`.
pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut question: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let attempt = async || {
        Ok(match question().await {
            Ok(Some(answer)) => ControlFlow::Break(answer),
            Ok(None) => ControlFlow::Continue("not yet".to_owned()),
            Err(error) => ControlFlow::Continue(format!("{error:#}")),
        })
    };
    until(what, limit, attempt).await
}
