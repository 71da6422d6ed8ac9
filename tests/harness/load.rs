//! Steady requests to a gateway, over kept and over new connections, to see whether anything that happens to it is felt.
//!
//! The rate is kept whatever the answers take, as many clients at once would: a gateway that stalls is met by more
//! requests, not by fewer.

mod mode;
mod report;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::client::{Client, Connection, Sent};
use crate::template::Template;

use self::mode::Mode;
use self::report::Outcome;
pub use self::report::{Report, percentile};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The connections that are kept of each protocol.
const KEPT: usize = 16;
/// How often a request that never left the client is sent on another connection.
const RESENDS: usize = 3;

/// Requests that go on until they are stopped.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Report>>,
}

impl Load {
    /// Sends `rate` requests a second, the templates and the ways of holding a connection by turns. A number of
    /// templates that has no divisor in common with that of the ways brings each to every way.
    pub fn start(client: Client, templates: Vec<Template>, rate: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(run(client, templates, rate, stopped)) }
    }

    /// Ends it, once every answer is there.
    pub async fn stop(self) -> Result<Report> {
        self.stop.send_replace(true);
        self.task.await.context("the load panicked")?
    }
}

async fn run(client: Client, templates: Vec<Template>, rate: u32, mut stop: watch::Receiver<bool>) -> Result<Report> {
    let kept = Arc::new(Kept { client, http1: Default::default(), http2: Default::default() });
    let start = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut tasks, mut outcomes) = (JoinSet::new(), Vec::new());
    let turns = Mode::ALL.len();
    for number in 0.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let (mode, template) = (Mode::ALL[number % turns], templates[number % templates.len()].clone());
        let kept = kept.clone();
        tasks.spawn(async move {
            let began = Instant::now();
            let failure = match timeout(PATIENCE, kept.send(mode, number / turns, &template)).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no answer after {PATIENCE:?}")),
            };
            Outcome { mode, ended: start.elapsed(), took: began.elapsed(), failure }
        });
        while let Some(ended) = tasks.try_join_next() {
            outcomes.push(ended?);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        outcomes.push(ended?);
    }
    Ok(Report::of(outcomes))
}

/// The connections that are kept.
struct Kept {
    client: Client,
    http1: [Mutex<Option<Connection>>; KEPT],
    http2: [Mutex<Option<Connection>>; KEPT],
}

impl Kept {
    async fn send(&self, mode: Mode, number: usize, template: &Template) -> Result<()> {
        for _ in 0..RESENDS {
            let sent = match mode {
                Mode::NewHttp1 | Mode::NewHttp2 | Mode::NewGrpc => {
                    template.send(mode.codec(), &mut self.connect(mode).await?).await?
                }
                Mode::KeptHttp1 => {
                    let mut slot = self.http1[number % KEPT].lock().await;
                    template.send(mode.codec(), self.open(mode, &mut slot).await?).await?
                }
                Mode::KeptHttp2 | Mode::KeptGrpc => {
                    // Both on one connection, as on one port.
                    let mut slot = self.http2[number % KEPT].lock().await;
                    let mut shared = self.open(mode, &mut slot).await?.share().context("not shared")?;
                    drop(slot);
                    template.send(mode.codec(), &mut shared).await?
                }
            };
            match sent {
                Sent::Answered(answer) => {
                    return template.fault(mode.codec(), &answer).map_or(Ok(()), |fault| Err(anyhow::anyhow!(fault)));
                }
                Sent::Unsent => {}
            }
        }
        anyhow::bail!("{RESENDS} connections ended before they took a request")
    }

    async fn connect(&self, mode: Mode) -> Result<Connection> {
        if mode.is_http2() { self.client.http2().await } else { self.client.http1().await }
    }

    async fn open<'a>(&self, mode: Mode, slot: &'a mut Option<Connection>) -> Result<&'a mut Connection> {
        let open = slot.take().filter(Connection::is_open);
        let connection = match open {
            Some(connection) => connection,
            None => self.connect(mode).await?,
        };
        Ok(slot.insert(connection))
    }
}
