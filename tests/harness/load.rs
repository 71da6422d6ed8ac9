//! Steady requests to a gateway, over kept and over new connections, to see whether anything that happens to it is felt.
//!
//! The rate is kept whatever the answers take, as many clients at once would: a gateway that stalls is met by more
//! requests, not by fewer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::client::{Client, Connection, Sent};
use crate::template::{Codec, Template};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The connections that are kept of each protocol.
const KEPT: usize = 16;
/// How often a request that never left the client is sent on another connection.
const RESENDS: usize = 3;

/// How a client holds its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    KeptHttp1,
    NewHttp1,
    KeptHttp2,
    NewHttp2,
    KeptGrpc,
    NewGrpc,
}

impl Mode {
    const ALL: [Self; 6] =
        [Self::KeptHttp1, Self::NewHttp1, Self::KeptHttp2, Self::NewHttp2, Self::KeptGrpc, Self::NewGrpc];

    fn is_http2(self) -> bool {
        !matches!(self, Self::KeptHttp1 | Self::NewHttp1)
    }

    fn codec(self) -> Codec {
        if matches!(self, Self::KeptGrpc | Self::NewGrpc) { Codec::Grpc } else { Codec::Json }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KeptHttp1 => "HTTP/1.1, kept",
            Self::NewHttp1 => "HTTP/1.1, new",
            Self::KeptHttp2 => "HTTP/2, kept",
            Self::NewHttp2 => "HTTP/2, new",
            Self::KeptGrpc => "gRPC, kept",
            Self::NewGrpc => "gRPC, new",
        })
    }
}

/// What became of one request.
#[derive(Debug)]
struct Outcome {
    mode: Mode,
    /// When it ended, since the start of the load.
    ended: Duration,
    took: Duration,
    failure: Option<String>,
}

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

/// What a load has seen.
#[derive(Debug)]
pub struct Report {
    by_mode: BTreeMap<Mode, Row>,
    all: Row,
    /// The first failures, in words.
    pub failures: Vec<String>,
}

#[derive(Debug, Default)]
struct Row {
    sent: usize,
    failed: usize,
    took: Vec<Duration>,
    gap: Duration,
}

impl Report {
    fn of(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_by_key(|outcome| outcome.ended);
        let failed = outcomes.iter().filter_map(|one| Some(format!("{}: {}", one.mode, one.failure.as_ref()?)));
        let failures = failed.take(10).collect();
        let by_mode = Mode::ALL.map(|mode| (mode, Row::of(outcomes.iter().filter(|one| one.mode == mode))));
        Self { by_mode: by_mode.into(), all: Row::of(outcomes.iter()), failures }
    }

    /// How many requests failed.
    pub fn failed(&self) -> usize {
        self.all.failed
    }

    /// How many requests were sent.
    pub fn sent(&self) -> usize {
        self.all.sent
    }

    /// The longest time without a good answer.
    pub fn gap(&self) -> Duration {
        self.all.gap
    }

    /// One line: requests, failures, times and the longest gap.
    pub fn summary(&self) -> String {
        self.all.to_string()
    }
}

impl Row {
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let (mut row, mut last) = (Self::default(), None);
        for outcome in outcomes {
            row.sent += 1;
            if outcome.failure.is_some() {
                row.failed += 1;
                continue;
            }
            row.took.push(outcome.took);
            if let Some(last) = last.replace(outcome.ended) {
                row.gap = row.gap.max(outcome.ended.saturating_sub(last));
            }
        }
        row.took.sort();
        row
    }
}

/// The time that `percent` of the times, which are in order, are below; zero where there are none.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
        let [median, high, most] = [50, 99, 100].map(|percent| ms(percentile(&self.took, percent)));
        let (sent, failed, gap) = (self.sent, self.failed, ms(self.gap));
        write!(f, "{sent:>7} sent {failed:>4} failed   p50 {median:>7}   p99 {high:>8}   max {most:>8}   gap {gap:>8}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (mode, row) in &self.by_mode {
            writeln!(f, "   {mode:<15} {row}")?;
        }
        write!(f, "   {:<15} {}", "all", self.all)
    }
}
