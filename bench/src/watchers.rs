//! `make bench-watchers`: how soon a change reaches 1,000 watchers, compared with one.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use scalegate_tests::client::Connection;
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::gateway::Gateway;
use scalegate_tests::load::percentile;
use scalegate_tests::paths::scratch;
use scalegate_tests::poll;
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::{interval, sleep};

use crate::CLIENT;
use crate::cluster::{Cluster, NAMESPACE};
use crate::machine;
use crate::report::verdict;
use crate::scale::PROGRAM;

/// The Deployments that change, one after the other.
const NAMES: usize = 10;
/// One change, and so each Deployment once a second.
const EVERY: Duration = Duration::from_millis(100);
/// How long a change may take to reach everybody.
const PATIENCE: Duration = Duration::from_secs(5);
/// The streams of one HTTP/2 connection.
const STREAMS: usize = 100;
/// The count of the first change; each has another, by which events name the change.
const FIRST: usize = 1000;
/// The aim: the 99th percentile of all watchers beside the median of one.
const AIM: f64 = 2.0;

/// Measures how soon a change reaches all watchers of a list, beside one watcher, and what a watcher costs.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchersArgs {
    /// How many watch.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4000))]
    watchers: u32,
    /// How many times each is measured.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How many changes are made in a round, ten a second.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    changes: u32,
}

/// A change that was made.
#[derive(Debug)]
struct Sent {
    at: Instant,
    /// When the first watcher saw it, and when the last did.
    seen: Option<(Instant, Instant)>,
}

/// The changes, and how long each took to each watcher.
#[derive(Debug, Default)]
struct Deliveries {
    sent: Vec<Sent>,
    took: Vec<Duration>,
    snapshots: usize,
}

/// What was measured of some watchers.
#[derive(Debug, Default)]
struct Measured {
    took: Vec<Duration>,
    /// From the first watcher of each change to the last.
    spread: Vec<Duration>,
    processor: Duration,
    /// The processor time of the clients.
    clients: Duration,
}

/// Measures, and prints the result.
pub(crate) async fn run(args: &WatchersArgs) -> Result<()> {
    // Only the gateway's build matters: the bench itself is not measured.
    let release = !cfg!(debug_assertions) || std::env::var_os(PROGRAM).is_some();
    ensure!(release, "this is a debug build: run `make bench-watchers`, or name a release gateway in {PROGRAM}");
    let (machine, work) = (machine::describe()?, scratch("bench-watchers")?);
    let cores = machine::cores()?;
    let (&first, &last) = cores.first().zip(cores.last()).context("no cores")?;
    println!("-- starting a control plane");
    let cluster = Cluster::empty(&work).await?;
    let kube = cluster.client().await?;
    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), NAMESPACE);
    for number in 0..NAMES {
        deployment(NAMESPACE, &name(number)).paused().create(&kube).await?;
        let seen = |deployment: &Deployment| {
            deployment.status.as_ref().is_some_and(|status| status.observed_generation.is_some())
        };
        wait_for(&deployments, &name(number), "the controller to see it", seen).await?;
    }
    // They would answer each change by a status, on the core that the clients share.
    let paused = cluster.without_controllers().await?;
    let watchers = args.watchers as usize;
    // One client may have half of the streams, and a quarter of those that are free.
    let gateway = cluster.gateway("watched", |options| options.max_streams = Some(16 * (args.watchers + 2))).await?;
    machine::pin_process(gateway.pid(), last)?;
    machine::pin_to(first)?;

    let (mut one, mut all, mut resident) = (Measured::default(), Measured::default(), Vec::new());
    for round in 1..=args.rounds {
        println!("-- round {round} of {}: one watcher, and {watchers} beside one that does not read", args.rounds);
        measure(&gateway, &deployments, 1, args.changes, &mut one).await?;
        let before = machine::memory(gateway.pid())?.resident;
        let with_all = measure(&gateway, &deployments, watchers, args.changes, &mut all).await?;
        resident.push(with_all.saturating_sub(before) / u64::from(args.watchers));
    }
    one.took.sort();
    all.took.sort();
    all.spread.sort();
    // What other work has left behind hides some of it in the first rounds.
    let bytes = resident.iter().max().copied().unwrap_or_default();
    println!("\n{machine}; the gateway on core {last}, everything else on core {first}; no controllers\n");
    println!("| | changes | p50 | p99 | CPU of the gateway, for each delivery |\n|---|---|---|---|---|");
    println!("| one watcher | {} | {one} |", one.took.len());
    println!("| {watchers} watchers, and one that does not read | {} | {all} |", all.took.len() / watchers);
    let ratio = percentile(&all.took, 99).as_secs_f64() / percentile(&one.took, 50).as_secs_f64();
    println!(
        "\nThe p99 of {watchers} watchers is {ratio:.1} times the median of one; the aim is {AIM} at most: {}. A watcher \
         takes up to {bytes} bytes of the gateway's memory.",
        verdict(ratio, AIM)
    );
    let spread = |percent| percentile(&all.spread, percent).as_secs_f64() * 1e3;
    println!(
        "The last watcher saw a change {:.2} ms after the first one did (p99: {:.2} ms). The clients took {:.0} µs of CPU for \
         each delivery.",
        spread(50),
        spread(99),
        all.micros_each(all.clients)
    );
    gateway.terminate().await?;
    drop(paused);
    cluster.stop().await
}

fn name(number: usize) -> String {
    format!("watched-{number}")
}

/// Makes `changes` while so many watch; the memory that the gateway takes then.
async fn measure(
    gateway: &Gateway,
    deployments: &Api<Deployment>,
    watchers: usize,
    changes: u32,
    measured: &mut Measured,
) -> Result<u64> {
    let (local, own) = (LocalSet::new(), std::process::id());
    local
        .run_until(async {
            let (client, deliveries) = (gateway.client(CLIENT)?, Rc::new(RefCell::new(Deliveries::default())));
            let path = format!("/v1/namespaces/{NAMESPACE}/deployments?watch=true");
            let mut tasks = Vec::new();
            let mut connection: Option<Connection> = None;
            for number in 0..watchers {
                if number % STREAMS == 0 {
                    connection = Some(client.http2().await?);
                }
                let connection = connection.as_mut().context("no connection")?;
                let answer = connection.open(&path).await?;
                ensure!(answer.status() == 200, "a stream was answered with {}", answer.status());
                let body = answer.into_body();
                // The connection lives as long as this.
                let (connection, deliveries) = (connection.share(), deliveries.clone());
                tasks.push(tokio::task::spawn_local(async move {
                    let read = follow(body, &deliveries).await;
                    drop(connection);
                    read
                }));
            }
            let unread = client.http2().await?.open(&path).await?;
            poll::eventually("the snapshots", async || Ok((deliveries.borrow().snapshots == watchers).then_some(())))
                .await?;
            let resident = machine::memory(gateway.pid())?.resident;
            let used = || anyhow::Ok((machine::processor_time(&[gateway.pid()])?, machine::processor_time(&[own])?));
            let before = used()?;
            change(deployments, changes, &deliveries).await?;
            let wanted = changes as usize * watchers;
            let until = Instant::now() + PATIENCE;
            while deliveries.borrow().took.len() < wanted && Instant::now() < until {
                sleep(Duration::from_millis(10)).await;
            }
            let after = used()?;
            measured.processor += after.0.saturating_sub(before.0);
            measured.clients += after.1.saturating_sub(before.1);
            for task in &tasks {
                ensure!(!task.is_finished(), "a stream has ended");
                task.abort();
            }
            drop(unread);
            let Deliveries { sent, took, .. } = std::mem::take(&mut *deliveries.borrow_mut());
            ensure!(took.len() == wanted, "{} of {wanted} changes arrived", took.len());
            measured.took.extend(took);
            measured.spread.extend(sent.iter().filter_map(|sent| sent.seen).map(|(first, last)| last - first));
            Ok(resident)
        })
        .await
}

async fn change(deployments: &Api<Deployment>, changes: u32, deliveries: &RefCell<Deliveries>) -> Result<()> {
    let mut ticks = interval(EVERY);
    for number in 0..changes as usize {
        ticks.tick().await;
        deliveries.borrow_mut().sent.push(Sent { at: Instant::now(), seen: None });
        let patch = json!({ "spec": { "replicas": FIRST + number } });
        deployments.patch(&name(number % NAMES), &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}

/// Notes how long each change took, until the stream ends.
async fn follow(mut body: Incoming, deliveries: &RefCell<Deliveries>) -> Result<()> {
    const SPEC: &[u8] = b"\"spec\":{\"replicas\":";
    let (mut text, mut seen) = (Vec::new(), Vec::new());
    let mut is_synced = false;
    while let Some(frame) = body.frame().await {
        text.extend(frame?.into_data().unwrap_or_default());
        let now = Instant::now();
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            if !is_synced {
                is_synced = event.starts_with(b"event: synced");
                deliveries.borrow_mut().snapshots += usize::from(is_synced);
                continue;
            }
            let Some(at) = event.windows(SPEC.len()).position(|part| part == SPEC) else { continue };
            let digits = event.iter().skip(at + SPEC.len()).take_while(|byte| byte.is_ascii_digit());
            let count = digits.fold(0, |count, digit| 10 * count + usize::from(digit - b'0'));
            let Some(number) = count.checked_sub(FIRST) else { continue };
            let Deliveries { sent, took, .. } = &mut *deliveries.borrow_mut();
            // What follows may have the same count.
            if let Some(sent) = sent.get_mut(number)
                && !seen.contains(&number)
            {
                seen.push(number);
                took.push(now - sent.at);
                sent.seen.get_or_insert((now, now)).1 = now;
            }
        }
    }
    Ok(())
}

impl Measured {
    /// So much processor time for each delivery, in microseconds.
    fn micros_each(&self, processor: Duration) -> f64 {
        let deliveries = u32::try_from(self.took.len()).unwrap_or(u32::MAX).max(1);
        (processor / deliveries).as_secs_f64() * 1e6
    }
}

/// The cells of a table: p50, p99, and processor time for each delivery.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| percentile(&self.took, percent).as_secs_f64() * 1e3;
        let micros = self.micros_each(self.processor);
        write!(f, "{:.2} ms | {:.2} ms | {micros:.0} µs", ms(50), ms(99))
    }
}
