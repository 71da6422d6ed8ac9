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
/// The largest allowed ratio of the p99 during a flood to the p99 beside a process that only computes.
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
    took: Vec<Duration>,
    failures: Vec<String>,
}

impl Seen {
    fn p99(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort();
        percentile(&took, 99)
    }
}

/// Asks until it is stopped.
async fn ask(client: Client, path: String, mut stop: oneshot::Receiver<()>) -> Seen {
    let mut seen = Seen::default();
    while stop.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty) {
        let asking = async {
            // By turns over HTTP/1.1 and over HTTP/2.
            let is_second = seen.took.len() / PER_CONNECTION % 2 == 1;
            let mut connection = if is_second { client.http2().await? } else { client.http1().await? };
            for _ in 0..PER_CONNECTION {
                let began = Instant::now();
                let answer = timeout(PATIENCE, connection.get(&path)).await.context("no answer")??;
                ensure!(answer.status == 200, "{}: {}", answer.status, answer.code());
                seen.took.push(began.elapsed());
                sleep(PAUSE).await;
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
        let beside = flood(Flood::Computing, &gateway, &options.certs, &path).await?.seen;
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
        let Flooded { seen, grown, did } = flood(kind, &gateway, &options.certs, &path).await?;
        println!(
            "{:<15} p99 {:>9.2?}, beside computing {usual:>9.2?}; {:>5} requests, {} failed; memory +{} MiB; {did}",
            kind.name(),
            seen.p99(),
            seen.took.len(),
            seen.failures.len(),
            grown >> 20,
        );
        if !seen.failures.is_empty() || seen.took.is_empty() {
            wrong.push(format!("{}: {:?}", kind.name(), seen.failures));
        }
        if grown > GROWTH {
            wrong.push(format!("{}: memory grew by {grown} bytes", kind.name()));
        }
        if soak::is_asked_for() && seen.p99() > SLOWER * usual {
            wrong.push(format!("{}: p99 {:?}, beside computing {usual:?}", kind.name(), seen.p99()));
        }
    }
    ensure!(gateway.is_running(), "the gateway has ended");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    gateway.terminate().await
}
