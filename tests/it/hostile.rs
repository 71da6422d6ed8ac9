//! One client attacks in every way at the same time, up to its limits, while another goes on with its work.

mod attack;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;
use tokio::time::Instant;

use self::attack::Attack;
use super::modules::{handmade, sha256, write_set};

/// How long each measurement takes, and how often it is repeated, alternating without and with the attack.
const MEASUREMENT: Duration = Duration::from_secs(3);
const TURNS: usize = 3;
/// The variable with the largest ratio of medians, for a release build on a quiet machine (`make hostile-test`).
const RATIO_VARIABLE: &str = "SCALEGATE_HOSTILE_RATIO";
/// The memory that the chart gives a gateway, in MiB.
const MEMORY: u64 = 512;

/// Writes a policy that allows everything, but loops until its deadline on questions as long as the longest [`attack`]
/// asks.
fn policies(directory: &Path) -> Result<()> {
    let module = handmade("(if (i32.gt_u (local.get 4) (i32.const 1100)) (then (loop (br 0)))) (i32.const 4096)")?;
    let manifest = json!({
        "modules": [{ "name": "loop", "module": "loop.wasm", "sha256": sha256(&module), "mode": "enforce" }],
    });
    write_set(directory, &manifest.to_string(), &[("loop.wasm".to_owned(), module)])
}

/// How long one client's requests took.
#[derive(Default)]
struct Times {
    reads: Vec<Duration>,
    writes: Vec<Duration>,
}

impl Times {
    /// Reads and writes for [`MEASUREMENT`]; each request must succeed.
    async fn measure(&mut self, client: &Client, path: &str) -> Result<()> {
        let end = Instant::now() + MEASUREMENT;
        let (mut kept, mut count) = (client.http1().await?, 0);
        while Instant::now() < end {
            count += 1;
            let start = Instant::now();
            if count % 10 == 0 {
                let body = json!({"replicas": 2 + count % 3}).to_string().into_bytes();
                let answer = kept.request(Method::PUT, path, &[("content-type", "application/json")], body).await?;
                ensure!(answer.status == 202, "a write: {} {}", answer.status, answer.json());
                self.writes.push(start.elapsed());
            } else {
                let answer = kept.get(path).await?;
                ensure!(answer.status == 200, "a read: {} {}", answer.status, answer.json());
                self.reads.push(start.elapsed());
            }
            if count % 25 == 0 {
                kept = client.http1().await?;
            }
        }
        Ok(())
    }

    fn medians(&mut self) -> (Duration, Duration) {
        let median = |times: &mut Vec<Duration>| {
            times.sort();
            times[times.len() / 2]
        };
        (median(&mut self.reads), median(&mut self.writes))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hostile_client_makes_no_request_of_another_fail() -> Result<()> {
    let suite = suite::exclusive().await?;
    let (namespace, kube) = (suite.namespace("hostile").await?, suite.kube().await?);
    for name in ["web", "theirs"] {
        deployment(&namespace, name).replicas(2).create(&kube).await?;
    }
    for number in 0..40 {
        deployment(&namespace, &format!("more-{number:02}")).replicas(0).create(&kube).await?;
    }
    let mut options = suite.options("hostile");
    options.policies = suite.directory("hostile-policies")?;
    policies(&options.policies)?;
    options.audit = suite.directory("hostile-audit")?.join("audit.jsonl");
    let gateway = suite.start(&options).await?;
    let client = gateway.client("operator")?;
    suite::wait_ready(&client, &namespace, "web", 2).await?;
    on_one_core(gateway.pid())?;

    let memory = peak_memory(gateway.pid())?;
    let path = suite::replicas(&namespace, "web");
    let (mut alone, mut beside) = (Times::default(), Times::default());
    let mut used = attack::Used::default();
    for _ in 0..TURNS {
        alone.measure(&client, &path).await?;
        let attack = Attack::start(gateway.client("ci")?, gateway.address, &namespace)?;
        poll::until("the attack to be under way", Duration::from_mins(2), async || Ok(attack.progress())).await?;
        beside.measure(&client, &path).await?;
        used += attack.stop()?;
    }
    let (reads, writes) = (alone.reads.len() + beside.reads.len(), alone.writes.len() + beside.writes.len());
    let ((read, write), (slow_read, slow_write)) = (alone.medians(), beside.medians());
    println!("{reads} reads and {writes} writes, none failed");
    println!("median read {read:?}, beside the attack {slow_read:?}; write {write:?}, beside it {slow_write:?}");
    let most = peak_memory(gateway.pid())?;
    println!("at most {most} MiB of memory, {memory} MiB before");
    println!("the attack: {used:?}");
    assert!(most < MEMORY, "{most} MiB");
    if let Ok(ratio) = std::env::var(RATIO_VARIABLE) {
        let ratio: f64 = ratio.parse()?;
        for (alone, beside) in [(read, slow_read), (write, slow_write)] {
            ensure!(beside.as_secs_f64() <= ratio * alone.as_secs_f64(), "{beside:?} is over {ratio} times {alone:?}");
        }
    }
    used.is_all_of_it()
}

/// The peak memory of a process so far, in MiB.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

/// Pins all threads of the gateway to the first core, so that the attack and the measured client compete for it.
fn on_one_core(pid: u32) -> Result<()> {
    let status = Command::new("taskset").args(["-acp", "0", &pid.to_string()]).output()?.status;
    ensure!(status.success(), "taskset failed");
    Ok(())
}
