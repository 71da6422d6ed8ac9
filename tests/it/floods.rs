//! One client floods the gateway in every way that its protocols have, while another asks: no request of the other
//! fails, and the gateway's memory stays bounded.

mod attacker;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::CpuSet;
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::load::percentile;
use scalegate_tests::suite;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::soak;
use attacker::{ADDRESS, ATTACKER, CERTIFICATES, FLOOD, Flood};

/// How much the gateway's memory may grow over one flood, in bytes.
const GROWTH: u64 = 64 << 20;
/// The largest allowed ratio of the p99 during a flood to the p99 beside a process that only computes, of answers on
/// connections that are open. New ones are measured too: they share the gateway with the flood's handshakes.
const SLOWER: u32 = 2;
/// Longer than an answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two requests, and how many of them share a connection.
const PAUSE: Duration = Duration::from_millis(2);
const PER_CONNECTION: usize = 25;
/// The core of the attacker, and that of the gateway and the other client.
const CORES: [usize; 2] = [0, 1];

/// How long each flood lasts.
fn extent() -> Duration {
    Duration::from_millis(soak::or(1_000, 30_000) as u64)
}

/// What a client saw that asked meanwhile.
#[derive(Debug, Default)]
struct Seen {
    /// How long a new connection and its first answer took. With TLS 1.3 the gateway verifies the client's certificate
    /// while the client already asks.
    opened: Vec<Duration>,
    /// How long the other answers took.
    answered: Vec<Duration>,
    failures: Vec<String>,
}

/// The 99th percentiles of what a client saw.
struct Slowest {
    opened: Duration,
    answered: Duration,
}

impl Seen {
    fn p99(&mut self) -> Slowest {
        self.opened.sort();
        self.answered.sort();
        Slowest { opened: percentile(&self.opened, 99), answered: percentile(&self.answered, 99) }
    }
}

/// Asks until it is stopped.
async fn ask(client: Client, path: String, mut stop: oneshot::Receiver<()>) -> Seen {
    let mut seen = Seen::default();
    while stop.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty) {
        let asking = async {
            // By turns over HTTP/1.1 and over HTTP/2.
            let mut began = Instant::now();
            let is_second = seen.opened.len() % 2 == 1;
            let mut connection = if is_second { client.http2().await? } else { client.http1().await? };
            for number in 0..PER_CONNECTION {
                let answer = timeout(PATIENCE, connection.get(&path)).await.context("no answer")??;
                ensure!(answer.status == 200, "{}: {}", answer.status, answer.code());
                let took = if number == 0 { &mut seen.opened } else { &mut seen.answered };
                took.push(began.elapsed());
                sleep(PAUSE).await;
                began = Instant::now();
            }
            anyhow::Ok(())
        };
        match timeout(2 * PATIENCE, asking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => seen.failures.push(format!("{error:#}")),
            Err(_) => seen.failures.push("no connection".to_owned()),
        }
    }
    seen
}

/// A client that asks on a separate thread.
struct Honest {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<Seen>>,
}

impl Honest {
    fn start(client: Client, path: String) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("honest".to_owned()).spawn(move || {
            if soak::is_asked_for() {
                let mut cores = CpuSet::new();
                cores.set(CORES[1]);
                rustix::thread::sched_setaffinity(None, &cores)?;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(ask(client, path, stopped)))
        })?;
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<Seen> {
        // It may have ended already, which its result says.
        let _ = self.stop.send(());
        self.thread.join().map_err(|_| anyhow::anyhow!("the honest client panicked"))?
    }
}

/// What a flood did.
struct Flooded {
    seen: Seen,
    /// By how many bytes the gateway's memory grew at most.
    grown: u64,
    /// What the attacker says that it did.
    did: String,
}

/// The memory of a process, in bytes.
fn memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Runs one flood beside one honest client.
async fn flood(flood: Flood, gateway: &Gateway, certs: &Path, path: &str) -> Result<Flooded> {
    let honest = Honest::start(gateway.client("viewer")?, path.to_owned())?;
    let before = memory(gateway.pid())?;
    let program = std::env::current_exe()?;
    let mut command = if soak::is_asked_for() {
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", &CORES[0].to_string()]).arg(program);
        pinned
    } else {
        Command::new(program)
    };
    let mut attacker = command
        .args(["--exact", ATTACKER, "--ignored", "--nocapture"])
        .env(FLOOD, flood.name())
        .env(ADDRESS, gateway.address.to_string())
        .env(CERTIFICATES, certs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let end = Instant::now() + extent();
    let mut most = before;
    while Instant::now() < end {
        sleep(Duration::from_millis(50)).await;
        most = most.max(memory(gateway.pid())?);
    }
    // It ends when its standard input does.
    drop(attacker.stdin.take());
    let output = attacker.wait_with_output().await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let did = printed.lines().find_map(|line| line.split_once("attacker: ")).map(|(_, did)| did.to_owned());
    let did = did.with_context(|| format!("{printed}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(Flooded { seen: honest.stop()?, grown: most - before, did })
}

#[tokio::test]
async fn a_flood_fails_no_request_of_another_and_leaves_memory_bounded() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("floods").await?;
    deployment(&namespace, "web").replicas(1).create(&suite.kube().await?).await?;
    let mut options = suite.options("floods");
    // The default.
    options.requests_per_second = 1000;
    if soak::is_asked_for() {
        options.under = ["taskset", "--cpu-list", &CORES[1].to_string()].map(str::to_owned).to_vec();
    }
    let gateway = suite.start(&options).await?;
    let path = suite::replicas(&namespace, "web");
    suite::wait_seen(&gateway.client("viewer")?, &namespace, "web").await?;

    // It also warms the gateway up.
    let beside = async || {
        let mut beside = flood(Flood::Computing, &gateway, &options.certs, &path).await?.seen;
        ensure!(beside.failures.is_empty(), "{:?}", beside.failures);
        Ok(beside.p99())
    };
    let mut usual = beside().await?;
    let mut wrong = Vec::new();
    for kind in Flood::ALL {
        if soak::is_asked_for() {
            // Other work of the machine comes and goes.
            usual = beside().await?;
        }
        let Flooded { mut seen, grown, did } = flood(kind, &gateway, &options.certs, &path).await?;
        let Slowest { opened, answered } = seen.p99();
        println!(
            "{:<15} p99 {answered:>9.2?}, beside computing {:>9.2?}; new connections {opened:>9.2?} and {:>9.2?}; {:>5} \
             answers, {} failures; memory +{} MiB; {did}",
            kind.name(),
            usual.answered,
            usual.opened,
            seen.opened.len() + seen.answered.len(),
            seen.failures.len(),
            grown >> 20,
        );
        if !seen.failures.is_empty() || seen.answered.is_empty() {
            wrong.push(format!("{}: {:?}", kind.name(), seen.failures));
        }
        if grown > GROWTH {
            wrong.push(format!("{}: memory grew by {grown} bytes", kind.name()));
        }
        if soak::is_asked_for() && answered > SLOWER * usual.answered {
            wrong.push(format!("{}: p99 {answered:?}, beside computing {:?}", kind.name(), usual.answered));
        }
    }
    ensure!(gateway.is_running(), "the gateway has ended");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    gateway.terminate().await
}
