//! A hostile client, which attacks in every way at once.

use std::future::Future;
use std::net::SocketAddr;
use std::ops::{AddAssign, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request};
use http_body_util::{Empty, Full, StreamBody};
use hyper::body::Frame;
use scalegate_tests::client::Client;
use scalegate_tests::suite;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The length of a reason that makes the test's policy loop until its deadline.
const LOOPS: usize = 500;

/// How often each way of attack was used, by its result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    /// Requests for decisions that loop, answered with 503.
    pub(crate) looped: u64,
    /// Requests beyond the client's limit, which were answered with 429.
    pub(crate) too_many: u64,
    /// Connections that were closed at once, or refused.
    pub(crate) cut: u64,
    /// New connections that stayed open.
    pub(crate) connected: u64,
    /// Requests whose bodies never came.
    pub(crate) unfinished: u64,
    /// Waits for a version that never comes, answered with 200 once the gateway has waited long enough.
    pub(crate) waits: u64,
    /// Lists answered with 200, and lists whose answers were never read.
    pub(crate) lists: u64,
    /// Accepted changes.
    pub(crate) changes: u64,
    /// Requests that were reset.
    pub(crate) resets: u64,
    /// Connections that never began a handshake.
    pub(crate) strangers: u64,
}

#[derive(Debug, Default)]
struct Counters {
    looped: AtomicU64,
    too_many: AtomicU64,
    cut: AtomicU64,
    connected: AtomicU64,
    unfinished: AtomicU64,
    waits: AtomicU64,
    lists: AtomicU64,
    changes: AtomicU64,
    resets: AtomicU64,
    strangers: AtomicU64,
}

/// A running attack, on a low-priority thread, so that the measured client gets its processor time.
pub(crate) struct Attack {
    counters: Arc<Counters>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

#[derive(Clone)]
struct Attacker {
    client: Client,
    address: SocketAddr,
    namespace: String,
    counters: Arc<Counters>,
}

impl Attack {
    pub(crate) fn start(client: Client, address: SocketAddr, namespace: &str) -> Result<Self> {
        let counters = Arc::<Counters>::default();
        let attacker = Attacker { client, address, namespace: namespace.to_owned(), counters: counters.clone() };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("attack".into()).spawn(move || {
            rustix::process::setpriority_process(None, 19)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut ways = attacker.ways();
                tokio::select! {
                    _ = stopped => Ok(()),
                    Some(ended) = ways.join_next() => ended.context("a way of the attack failed"),
                }
            })
        })?;
        Ok(Self { counters, stop, thread })
    }

    /// Continues until each way was used, or the attack has ended.
    pub(crate) fn progress(&self) -> ControlFlow<(), String> {
        match self.counters.used().is_all_of_it() {
            Err(missing) if !self.thread.is_finished() => ControlFlow::Continue(missing.to_string()),
            Ok(()) | Err(_) => ControlFlow::Break(()),
        }
    }

    pub(crate) fn stop(self) -> Result<Used> {
        let _ = self.stop.send(());
        self.thread.join().map_err(|_| anyhow::anyhow!("the attack panicked"))??;
        Ok(self.counters.used())
    }
}

impl Attacker {
    fn ways(&self) -> JoinSet<()> {
        let mut ways = JoinSet::new();
        for _ in 0..4 {
            self.repeat(&mut ways, Self::looping);
        }
        for _ in 0..4 {
            self.repeat(&mut ways, Self::unfinished);
        }
        for _ in 0..2 {
            self.repeat(&mut ways, Self::waiting);
            self.repeat(&mut ways, Self::lists);
            self.repeat(&mut ways, Self::unread);
            self.repeat(&mut ways, Self::writes);
            self.repeat(&mut ways, Self::resets);
        }
        self.repeat(&mut ways, Self::connections);
        self.repeat(&mut ways, Self::handshakes);
        self.repeat(&mut ways, Self::strangers);
        ways
    }

    /// Repeats one way of attack. Its errors are expected: they are the gateway's defence.
    fn repeat<F>(&self, ways: &mut JoinSet<()>, way: impl Fn(Self) -> F + Send + 'static)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let attacker = self.clone();
        ways.spawn(async move {
            loop {
                if way(attacker.clone()).await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }

    fn path(&self) -> String {
        suite::replicas(&self.namespace, "theirs")
    }

    /// Sends a hundred requests at once on one connection, twenty times. `counter` counts the answers with `expected`.
    async fn hundred(
        &self,
        (method, path, body): (Method, &str, &str),
        expected: u16,
        counter: &AtomicU64,
    ) -> Result<()> {
        let connection = self.client.http2().await?;
        for _ in 0..20 {
            let requests = (0..100).map(|_| {
                let mut connection = connection.share();
                let (method, body) = (method.clone(), body.as_bytes().to_vec());
                async move {
                    let connection = connection.as_mut().context("HTTP/2")?;
                    let headers: &[(&str, &str)] =
                        if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
                    let answer = connection.request(method, path, headers, body).await?;
                    match answer.status {
                        429 => drop(self.counters.too_many.fetch_add(1, Relaxed)),
                        status if status == expected => drop(counter.fetch_add(1, Relaxed)),
                        _ => {}
                    }
                    anyhow::Ok(())
                }
            });
            for ended in join_all(requests).await {
                ended?;
            }
        }
        Ok(())
    }

    async fn looping(self) -> Result<()> {
        let body = json!({"replicas": 3, "reason": "x".repeat(LOOPS)}).to_string();
        let path = format!("{}?dryRun=true", self.path());
        self.hundred((Method::PUT, &path, &body), 503, &self.counters.looped).await
    }

    async fn waiting(self) -> Result<()> {
        let path = format!("{}?atLeastVersion=none:00000000-0000-0000-0000-000000000000", self.path());
        self.hundred((Method::GET, &path, ""), 200, &self.counters.waits).await
    }

    async fn lists(self) -> Result<()> {
        self.hundred((Method::GET, "/v1/deployments?limit=500", ""), 200, &self.counters.lists).await
    }

    async fn writes(self) -> Result<()> {
        let body = json!({"replicas": 1}).to_string();
        self.hundred((Method::PUT, &self.path(), &body), 202, &self.counters.changes).await
    }

    /// Requests whose bodies never come.
    async fn unfinished(self) -> Result<()> {
        type Never = StreamBody<futures::stream::Pending<Result<Frame<Bytes>, std::io::Error>>>;
        let sender = self.client.http2_of::<Never>().await?;
        let requests = (0..100).map(|_| {
            let mut sender = sender.clone();
            let request = Request::put(format!("https://localhost{}", self.path()))
                .header("content-type", "application/json")
                .body(StreamBody::new(futures::stream::pending()));
            self.counters.unfinished.fetch_add(1, Relaxed);
            async move { anyhow::Ok(sender.send_request(request?).await?) }
        });
        let _ = tokio::time::timeout(Duration::from_secs(2), join_all(requests)).await;
        Ok(())
    }

    /// Lists whose answers are never read.
    async fn unread(self) -> Result<()> {
        let mut stream = self.client.tls(b"http/1.1").await?;
        for _ in 0..50 {
            stream.write_all(b"GET /v1/deployments?limit=500 HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            self.counters.lists.fetch_add(1, Relaxed);
        }
        stream.flush().await?;
        sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    /// Requests that are reset as soon as they are sent.
    async fn resets(self) -> Result<()> {
        let sender = self.client.http2_of::<Empty<Bytes>>().await?;
        for _ in 0..1000 {
            let mut one = sender.clone();
            one.ready().await?;
            let request = Request::get(format!("https://localhost{}", self.path())).body(Empty::new())?;
            let answer = one.send_request(request);
            tokio::task::yield_now().await;
            drop(answer);
            self.counters.resets.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Opens 250 connections, more than a client may have, and keeps those that succeed for a second.
    async fn connections(self) -> Result<()> {
        let mut held = Vec::new();
        for _ in 0..10 {
            held.extend(join_all((0..25).map(|_| self.client.tls(b"http/1.1"))).await.into_iter().flatten());
        }
        let ended = held.iter_mut().map(|stream| async move {
            let mut byte = [0];
            tokio::time::timeout(Duration::from_secs(1), stream.read(&mut byte)).await.is_ok()
        });
        let cut = join_all(ended).await.into_iter().filter(|ended| *ended).count();
        self.counters.cut.fetch_add(cut as u64, Relaxed);
        self.counters.connected.fetch_add((held.len() - cut) as u64, Relaxed);
        Ok(())
    }

    /// Opens one connection and closes it.
    async fn handshakes(self) -> Result<()> {
        let sender = self.client.http2_of::<Full<Bytes>>().await;
        match sender {
            Ok(_) => self.counters.connected.fetch_add(1, Relaxed),
            Err(_) => self.counters.cut.fetch_add(1, Relaxed),
        };
        Ok(())
    }

    /// Opens more connections without a handshake than there may be handshakes in flight.
    async fn strangers(self) -> Result<()> {
        let mut held = Vec::new();
        for _ in 0..1100 {
            held.push(TcpStream::connect(self.address).await?);
            self.counters.strangers.fetch_add(1, Relaxed);
        }
        sleep(Duration::from_millis(500)).await;
        Ok(())
    }
}

impl Counters {
    fn used(&self) -> Used {
        let now = |counter: &AtomicU64| counter.load(Relaxed);
        Used {
            looped: now(&self.looped),
            too_many: now(&self.too_many),
            cut: now(&self.cut),
            connected: now(&self.connected),
            unfinished: now(&self.unfinished),
            waits: now(&self.waits),
            lists: now(&self.lists),
            changes: now(&self.changes),
            resets: now(&self.resets),
            strangers: now(&self.strangers),
        }
    }
}

impl Used {
    /// Fails unless each way was used.
    pub(crate) fn is_all_of_it(self) -> Result<()> {
        let Self { looped, too_many, cut, connected, unfinished, waits, lists, changes, resets, strangers } = self;
        let all = [looped, too_many, cut, connected, unfinished, waits, lists, changes, resets, strangers];
        ensure!(all.iter().all(|count| *count > 0), "not every way was used: {self:?}");
        Ok(())
    }
}

impl AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.looped += other.looped;
        self.too_many += other.too_many;
        self.cut += other.cut;
        self.connected += other.connected;
        self.unfinished += other.unfinished;
        self.waits += other.waits;
        self.lists += other.lists;
        self.changes += other.changes;
        self.resets += other.resets;
        self.strangers += other.strangers;
    }
}
