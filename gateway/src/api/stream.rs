//! A stream of what a client follows, whatever the transport: changes, signs of life, and why it ends.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::policy::{Change, WatchError, Watching};
use crate::shutdown::Shutdown;
use crate::workload::WorkloadRef;

use super::error::Error;
use super::metrics::{ApiMetrics, OpenStream};
use super::rendered::{Rendered, Renderings};
use super::view::seconds;

/// How long a stream may be silent before it shows a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Over how long the streams end after other policies began to serve, so that their clients do not all return at once.
const AFTER_SWAP: Duration = Duration::from_secs(30);
/// Over how long they end when the gateway stops.
const AFTER_DRAIN: Duration = Duration::from_secs(3);

/// What a stream says.
#[derive(Debug)]
pub(super) enum StreamItem {
    /// A workload, as it is now.
    Replicas(Arc<Rendered>),
    /// A workload that is gone, or that the client may no longer get.
    Gone(WorkloadRef),
    /// All that there was when the stream began, or when everything was looked at again, has been shown.
    Synced {
        /// How many workloads there is no verdict on.
        undecided: usize,
    },
    /// Nothing has changed, and this is how long ago the API server last confirmed it, in seconds.
    Heartbeat { age_seconds: f64 },
}

/// When a client wants a stream to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// How long it was from the request on.
    pub(super) limit: Duration,
}

/// A stream, until its error, which is its last word, or until its client is gone.
pub(super) struct Stream {
    watching: Watching,
    renderings: Arc<Renderings>,
    /// What the client knows of each workload.
    sent: HashMap<WorkloadRef, u64>,
    counted: OpenStream,
    heartbeat: Pin<Box<Sleep>>,
    ending: Ending,
    deadline: Option<Deadline>,
    ended: bool,
}

/// What ends a stream, and when.
struct Ending {
    drain: Pin<Box<dyn Future<Output = ()> + Send>>,
    swap: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream {
    pub(super) fn new(
        watching: Watching,
        renderings: Arc<Renderings>,
        shutdown: &Shutdown,
        metrics: &ApiMetrics,
    ) -> Self {
        let (shutdown, swap) = (shutdown.clone(), watching.policy_swap());
        let ending = Ending {
            drain: Box::pin(async move {
                shutdown.recv().await;
                sleep(AFTER_DRAIN.mul_f64(fastrand::f64())).await;
            }),
            swap: Box::pin(async move {
                swap.await;
                sleep(AFTER_SWAP.mul_f64(fastrand::f64())).await;
            }),
        };
        let (sent, counted, heartbeat) = (HashMap::new(), metrics.stream(), Box::pin(sleep(HEARTBEAT)));
        Self { watching, renderings, sent, counted, heartbeat, ending, deadline: None, ended: false }
    }

    /// The same, which ends at `deadline`.
    pub(super) fn until(self, deadline: Option<Deadline>) -> Self {
        Self { deadline, ..self }
    }

    /// What is there to say without waiting.
    pub(super) fn ready(&mut self) -> Option<StreamItem> {
        while !self.ended {
            let change = self.watching.ready()?;
            if let Some(item) = self.news(change) {
                return Some(item);
            }
        }
        None
    }

    /// What the client does not know yet.
    fn news(&mut self, change: Change) -> Option<StreamItem> {
        Some(match change {
            Change::Shown(permit) => {
                let rendered = self.renderings.of(&permit)?;
                let name = &permit.observation().name;
                match self.sent.get_mut(name) {
                    Some(sent) if *sent == rendered.fingerprint => return None,
                    Some(sent) => *sent = rendered.fingerprint,
                    None => _ = self.sent.insert(name.clone(), rendered.fingerprint),
                }
                StreamItem::Replicas(rendered)
            }
            Change::Gone(name) => {
                self.sent.remove(&name);
                StreamItem::Gone(name)
            }
            Change::Synced { undecided } => StreamItem::Synced { undecided },
        })
    }

    /// What comes next; `None` after an error.
    pub(super) async fn next(&mut self) -> Option<Result<StreamItem, Error>> {
        if self.ended {
            return None;
        }
        let next = self.wait().await;
        if let Err(error) = &next {
            self.ended = true;
            self.watching.end(error.kind().code);
            self.counted.reason = error.kind().code;
        }
        self.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        Some(next)
    }

    async fn wait(&mut self) -> Result<StreamItem, Error> {
        loop {
            if let Some(item) = self.ready() {
                return Ok(item);
            }
            tokio::select! {
                biased;
                () = &mut self.ending.drain => return Err(Error::Draining),
                limit = over(self.deadline) => return Err(Error::DeadlineExceeded { limit }),
                () = &mut self.ending.swap => return Err(Error::PolicyChanged),
                // What has changed is decided outside of the select, which would drop it half done.
                changed = self.watching.changed() => self.watching.look(changed).await?,
                () = self.heartbeat.as_mut() => {
                    return Ok(StreamItem::Heartbeat { age_seconds: seconds(self.watching.age()) });
                }
            }
        }
    }
}

/// Waits for a deadline, if there is one.
async fn over(deadline: Option<Deadline>) -> Duration {
    match deadline {
        Some(Deadline { at, limit }) => {
            sleep_until(at).await;
            limit
        }
        None => std::future::pending().await,
    }
}

impl From<WatchError> for Error {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Denied(denied) => denied.into(),
            WatchError::NotFound(target) => Self::NotFound { target },
            WatchError::TooMany => Self::invalid("narrow_it", format!("{error}: narrow the namespace or the selector")),
        }
    }
}
