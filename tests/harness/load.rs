//! Steady requests to a gateway, over kept and over new connections, to see whether anything that happens to it is felt.
//!
//! The rate is kept whatever the answers take, as many clients at once would: a gateway that stalls is met by more
//! requests, not by fewer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use scalegate::proto::Message;
use scalegate::proto::v1::{GetReplicasRequest, SetReplicasRequest, Workload};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::client::{Answer, Client, Connection, Sent};
use crate::suite::replicas;

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

    fn is_grpc(self) -> bool {
        matches!(self, Self::KeptGrpc | Self::NewGrpc)
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

/// A request that is sent again and again, in JSON or as a message of gRPC.
#[derive(Debug, Clone)]
pub struct Template {
    method: Method,
    path: String,
    /// A JSON body, or nothing.
    body: String,
    /// The status that counts as success.
    wanted: u16,
    /// The method of `ReplicaService`, and its message.
    call: (&'static str, Vec<u8>),
}

impl Template {
    /// A read of one Deployment.
    pub fn get(namespace: &str, name: &str) -> Self {
        let message = GetReplicasRequest { workload: Some(workload(namespace, name)), ..GetReplicasRequest::default() };
        Self {
            method: Method::GET,
            path: replicas(namespace, name),
            body: String::new(),
            wanted: 200,
            call: ("GetReplicas", framed(&message)),
        }
    }

    /// A set of one Deployment's count.
    pub fn set(namespace: &str, name: &str, count: i32) -> Self {
        let workload = Some(workload(namespace, name));
        let message = SetReplicasRequest { workload, replicas: Some(count), ..SetReplicasRequest::default() };
        Self {
            method: Method::PUT,
            path: replicas(namespace, name),
            body: format!(r#"{{"replicas": {count}}}"#),
            wanted: 202,
            call: ("SetReplicas", framed(&message)),
        }
    }

    async fn send(&self, mode: Mode, connection: &mut Connection) -> Result<Sent> {
        if mode.is_grpc() {
            let (method, message) = &self.call;
            let path = format!("/scalegate.v1.ReplicaService/{method}");
            let headers = [("content-type", "application/grpc"), ("te", "trailers")];
            return connection.try_request(Method::POST, &path, &headers, message.clone()).await;
        }
        let headers: &[_] = if self.body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        connection.try_request(self.method.clone(), &self.path, headers, self.body.clone().into_bytes()).await
    }

    /// What is wrong with an answer; `None` for the wanted one.
    fn fault(&self, mode: Mode, answer: &Answer) -> Option<String> {
        if mode.is_grpc() {
            let told = |name| answer.trailers.get(name).or(answer.headers.get(name)).and_then(|it| it.to_str().ok());
            let status = told("grpc-status");
            return (status != Some("0")).then(|| format!("{status:?} {}", told("grpc-message").unwrap_or_default()));
        }
        (answer.status != self.wanted).then(|| format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)))
    }
}

fn workload(namespace: &str, name: &str) -> Workload {
    Workload { kind: String::new(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// A message as gRPC sends it: not compressed, its length, itself.
fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &message].concat()
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
                    template.send(mode, &mut self.connect(mode).await?).await?
                }
                Mode::KeptHttp1 => {
                    let mut slot = self.http1[number % KEPT].lock().await;
                    template.send(mode, self.open(mode, &mut slot).await?).await?
                }
                Mode::KeptHttp2 | Mode::KeptGrpc => {
                    // Both on one connection, as on one port.
                    let mut slot = self.http2[number % KEPT].lock().await;
                    let mut shared = self.open(mode, &mut slot).await?.share().context("not shared")?;
                    drop(slot);
                    template.send(mode, &mut shared).await?
                }
            };
            match sent {
                Sent::Answered(answer) => {
                    return template.fault(mode, &answer).map_or(Ok(()), |fault| Err(anyhow::anyhow!(fault)));
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

    fn percentile(&self, percent: usize) -> Duration {
        self.took
            .get((self.took.len() * percent / 100).min(self.took.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1000.0);
        let [median, high, most] = [50, 99, 100].map(|percent| ms(self.percentile(percent)));
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
