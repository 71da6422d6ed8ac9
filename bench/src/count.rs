//! `make counts`: how many instructions the gateway runs for a request, by the example policy and by those that are made.
//! They hardly depend on how busy a machine is, so they guard what each request and each decision passes through.

mod callgrind;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use scalegate_tests::client::{Client, Connection, Sent};
use scalegate_tests::paths::scratch;
use scalegate_tests::suite::replicas;
use scalegate_tests::template::{Codec, Template};
use tokio::time::sleep;

use crate::cluster::{Cluster, NAME, NAMESPACE, PAGE};
use crate::decide::shape;
use crate::{machine, opa, swaps};
use callgrind::Callgrind;

/// How long the idle gateway is counted: it looks at its files several times a second.
const REST: Duration = Duration::from_secs(10);

/// Counts the instructions of the gateway for each kind of request, with Valgrind.
#[derive(Debug, clap::Args)]
pub(crate) struct CountArgs {
    /// Compare them with the figures in this file; an error if one is higher than its bound.
    #[arg(long, value_name = "FILE", conflicts_with = "write")]
    check: Option<PathBuf>,
    /// Write them to this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// A kind of request.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Read,
    ReadHttp2,
    ReadGrpc,
    Decision,
    SetDecision,
    Page,
    Handshake,
    /// A read that a policy of this name decides, one of those that are made: it refuses.
    Made(&'static str),
}

impl Kind {
    /// In the order in which they are counted: the first are decided by the example policy.
    const ALL: [Self; 11] = [
        Self::Read,
        Self::ReadHttp2,
        Self::ReadGrpc,
        Self::Decision,
        Self::SetDecision,
        Self::Page,
        Self::Handshake,
        Self::Made(shape::TEXTS),
        Self::Made(shape::PATTERNS),
        Self::Made(shape::DATA),
        Self::Made(shape::RULES),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadHttp2 => "read over HTTP/2",
            Self::ReadGrpc => "read over gRPC",
            Self::Decision => "uncached read",
            Self::SetDecision => "dry run of a set",
            Self::Page => "list of 500",
            Self::Handshake => "handshake and read",
            Self::Made(policy) => policy,
        }
    }

    /// How many are counted together.
    fn times(self) -> u32 {
        match self {
            Self::Page => 10,
            Self::Handshake | Self::Made(_) => 50,
            _ => 300,
        }
    }

    /// By how much a count may exceed its committed figure. A handshake's numbers differ each time.
    fn tolerance(self) -> f64 {
        if matches!(self, Self::Handshake) { 0.10 } else { 0.03 }
    }

    fn request(self, number: u32) -> Template {
        match self {
            // Each is the first read of a Deployment by this client, with these policies.
            Self::Decision | Self::Made(_) => Template::get(NAMESPACE, &format!("other-{:03}", number + 1)),
            Self::SetDecision => {
                let path = format!("{}?dryRun=true", replicas(NAMESPACE, NAME));
                Template::plain(Method::PUT, &path, r#"{"replicas": 2}"#)
            }
            Self::Page => Template::plain(Method::GET, &format!("/v1/deployments?limit={PAGE}"), ""),
            _ => Template::get(NAMESPACE, NAME),
        }
    }

    /// The certificate. Reads that are decided anew are another client's, which has listed nothing.
    fn client(self) -> &'static str {
        match self {
            Self::Decision | Self::SetDecision | Self::Made(_) => "operator",
            _ => "viewer",
        }
    }

    async fn connect(self, client: &Client) -> Result<Connection> {
        match self {
            Self::ReadHttp2 | Self::ReadGrpc => client.http2().await,
            _ => client.http1().await,
        }
    }
}

pub(crate) async fn run(args: &CountArgs) -> Result<()> {
    let work = scratch("counts")?;
    println!("-- starting a control plane with {PAGE} Deployments");
    let cluster = Cluster::start(&work).await?;
    println!("-- starting the gateway under Valgrind");
    let out = work.join("callgrind.out");
    let gateway = cluster.gateway_under("counted", callgrind::command(&out)).await?;
    let mut callgrind = Callgrind::new(gateway.pid(), out);
    callgrind.zero()?;
    let resting = Instant::now();
    sleep(REST).await;
    let idle = callgrind.dump()? / resting.elapsed().as_secs_f64();
    let mut counts = BTreeMap::new();
    let made = shape::made(&opa::program()?, &work.join("made"))?;
    for kind in Kind::ALL {
        if let Kind::Made(policy) = kind {
            // To compile the policy takes many times as long while instructions are counted.
            callgrind.pause()?;
            let shape = made.iter().find(|shape| shape.name == policy).context("no such policy")?;
            swaps::swap(&gateway, || shape.install(&cluster.patient_policies())).await?;
            callgrind.resume()?;
        }
        let count = counted(kind, &gateway.client(kind.client())?, &mut callgrind, idle).await?;
        println!("{:32} {count:>10.1} thousand instructions", kind.name());
        counts.insert(kind.name().to_owned(), (10.0 * count).round() / 10.0);
    }
    gateway.terminate().await?;
    cluster.stop().await?;
    if let Some(file) = &args.write {
        let mut all = if file.exists() { committed(file)? } else { BTreeMap::new() };
        all.insert(machine::processor()?, counts.clone());
        fs::write(file, format!("{:#}\n", serde_json::to_value(&all)?)).context("write the counts")?;
    }
    args.check.as_deref().map_or(Ok(()), |file| check(&counts, file))
}

/// The instructions of one request in thousands, without what the gateway would have run if it had been idle.
async fn counted(kind: Kind, client: &Client, callgrind: &mut Callgrind, idle: f64) -> Result<f64> {
    let mut connection = kind.connect(client).await?;
    // What the first request of its kind makes for those that follow.
    for number in 0..kind.times() / 10 {
        ask(kind, number, &mut connection).await?;
    }
    let first = kind.times() / 10;
    callgrind.zero()?;
    let began = Instant::now();
    for number in 0..kind.times() {
        if matches!(kind, Kind::Handshake) {
            connection = kind.connect(client).await?;
        }
        ask(kind, first + number, &mut connection).await?;
    }
    let elapsed = began.elapsed().as_secs_f64();
    let all = callgrind.dump()?;
    Ok((all - idle * elapsed) / f64::from(kind.times()))
}

async fn ask(kind: Kind, number: u32, connection: &mut Connection) -> Result<()> {
    let (request, codec) =
        (kind.request(number), if matches!(kind, Kind::ReadGrpc) { Codec::Grpc } else { Codec::Json });
    let Sent::Answered(answer) = request.send(codec, connection).await? else { bail!("the connection has ended") };
    if matches!(kind, Kind::Made(_)) && answer.status == 403 {
        return Ok(());
    }
    let fault = request.fault(codec, &answer);
    ensure!(fault.is_none(), "{}: {}", kind.name(), fault.unwrap_or_default());
    Ok(())
}

/// Counts in thousands by kind of request.
type Counts = BTreeMap<String, f64>;

/// The committed counts by processor.
fn committed(file: &Path) -> Result<BTreeMap<String, Counts>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// Compares `counts` with the committed ones. Libraries choose their code by what the processor can do, so those of
/// another processor are not compared.
fn check(counts: &Counts, file: &Path) -> Result<()> {
    let processor = machine::processor()?;
    let Some(committed) = committed(file)?.remove(&processor) else {
        println!("not checked: {} has no counts of a processor like this one ({processor})", file.display());
        return Ok(());
    };
    let mut wrong = String::new();
    for kind in Kind::ALL {
        let (Some(now), Some(before)) = (counts.get(kind.name()), committed.get(kind.name())) else {
            // A kind that is younger than the figures of this processor.
            println!("{:32} not checked: no figure of a processor like this one", kind.name());
            continue;
        };
        let change = now / before - 1.0;
        println!("{:32} {before:>10.1} → {now:>10.1}  {:+.1} %", kind.name(), 100.0 * change);
        if change > kind.tolerance() {
            let _ = write!(
                wrong,
                "\n{}: {:+.1} %, at most {:+.0} %",
                kind.name(),
                100.0 * change,
                100.0 * kind.tolerance()
            );
        }
    }
    ensure!(wrong.is_empty(), "more instructions than {} says:{wrong}", file.display());
    println!("every count that has a figure is within its bound");
    Ok(())
}
