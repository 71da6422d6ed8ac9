//! `make bench`: what the gateway's work costs, beside other servers on the same machine; and `make bench-scale`: how it
//! grows with the cluster.
//!
//! - [`case`]: what is measured.
//! - [`cluster`]: a control plane with Deployments to read, and gateways.
//! - [`nginx`], [`opa`]: servers to compare with.
//! - [`machine`]: the core that everything measured runs on, and the processor time of processes.
//! - [`measure`]: requests, each sent when the one before was answered.
//! - [`report`], [`picture`]: the table, and the same as bars.
//! - [`decide`]: decisions, beside other engines.
//! - [`runaway`]: how soon a module that loops is stopped.
//! - [`swaps`]: reads while policies are swapped.
//! - [`count`]: how many instructions a request and a decision take.
//! - [`watchers`]: how soon changes reach many watchers.
//! - [`scale`]: how the gateway's work grows.

mod case;
mod cluster;
mod count;
mod decide;
mod machine;
mod measure;
mod nginx;
mod opa;
mod picture;
mod report;
mod runaway;
mod scale;
mod swaps;
mod watchers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use mimalloc::MiMalloc;
use scalegate_tests::client::Client;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::paths::scratch;
use scalegate_tests::sandbox::conclude;

use case::{Case, Peer};
use cluster::Cluster;
use decide::{Deciding, Decisions};
use measure::{Reached, Server};
use nginx::Nginx;
use opa::OpaServer;
use report::Report;

/// The gateway's allocator, for the engines that decide in this process.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The certificate of the client.
const CLIENT: &str = "viewer";
/// What stands above the measurements in a page.
const MEASURED: &str = "\n## Measured\n\n";
/// How long each case is warmed up before the first round.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures the gateway.
#[derive(Debug, Parser)]
enum Args {
    Compare(CompareArgs),
    Count(count::CountArgs),
    Scale(scale::ScaleArgs),
    Watchers(watchers::WatchersArgs),
}

/// Measures the processor time that requests cost the gateway, beside nginx, kube-apiserver and OPA.
#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// How many times each case is measured; the table shows medians.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How many seconds each case is measured in a round. Processor time is counted in steps of 10 ms.
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Measure only the cases whose names contain this text; `decisions`, `swaps` and `runaways` name the rest.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Where to write the table and its picture too: bench.md and bench.svg in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
}

/// The servers that are measured.
struct Servers {
    nginx: Server,
    gateway: Server,
    forgetful: Server,
    api_server: Server,
    opa: Server,
}

/// One thread: the client must stay on the core that it is pinned to.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    conclude(match &Args::parse() {
        Args::Compare(args) => compare(args).await,
        Args::Count(args) => count::run(args).await,
        Args::Scale(args) => scale::run(args).await,
        Args::Watchers(args) => watchers::run(args).await,
    })
}

async fn compare(args: &CompareArgs) -> Result<()> {
    ensure!(!cfg!(debug_assertions), "this is a debug build: `make bench` measures a release build");
    let (program, opa_program) = (nginx::program()?, opa::program()?);
    let machine = machine::describe()?;
    let work = scratch("bench")?;
    let mut others = Vec::new();
    if "runaways".contains(&args.only) {
        println!("-- stopping modules that loop");
        others.push(runaway::measure()?.to_string());
    }
    println!("-- starting a control plane with {} Deployments", cluster::PAGE);
    let cluster = Cluster::start(&work).await?;
    let core = machine::pin()?;
    println!("-- starting the other servers; all, and the client, run on core {core}");
    let gateways = (
        cluster.gateway("gateway", |_| {}).await?,
        cluster.gateway("forgetful", |options| options.answer_cache_bytes = Some(0)).await?,
    );
    let gateway = server_of(&gateways.0)?;
    let body = gateway.body(Case::ReadHttp1).await?;
    let nginx = Nginx::start(&program, &work.join("nginx"), &cluster.certs, &body).await?;
    let opa = OpaServer::start(&opa_program, &work.join("opa")).await?;
    let api_server = cluster.api_server().await?;
    machine::pin_process(api_server.processes[0], core)?;
    let servers = Servers {
        nginx: Server {
            reached: Reached::Tls(Client::with_certificate(nginx.address, &cluster.certs, CLIENT)?),
            processes: nginx.processes()?,
            question: String::new(),
            log: None,
        },
        gateway,
        forgetful: server_of(&gateways.1)?,
        api_server,
        opa: Server {
            reached: Reached::Plain(opa.address),
            processes: vec![opa.pid()],
            question: opa::question()?,
            log: None,
        },
    };
    let suite = cipher_suite(&servers.nginx).await?;
    ensure!(suite == cipher_suite(&servers.gateway).await?, "nginx and the gateway use different cipher suites");

    let mut deciding = Deciding::prepare(&opa_program, &work.join("decide")).await?;
    let (report, decisions) = rounds(args, &servers, &mut deciding).await?;
    if "swaps".contains(&args.only) {
        println!("-- swapping policies");
        others.push(swaps::measure(&cluster, &gateways.0, &servers.gateway).await?.to_string());
    }
    let versions = format!("{}; {}", nginx.version, opa::version(&opa_program)?);
    let caption = format!("{machine}; {versions}; {suite}; a read is {} bytes", body.len());
    let text = format!("{caption}\n\n{report}\n{}\n\n{decisions}\n", others.join("\n"));
    println!("\n{text}");
    if let Some(directory) = &args.write {
        write_page(&directory.join("bench.md"), &text)?;
        fs::write(directory.join("bench.svg"), picture::svg(&report, &caption)).context("write bench.svg")?;
    }
    nginx.stop().await?;
    opa.stop().await?;
    gateways.0.terminate().await?;
    gateways.1.terminate().await?;
    cluster.stop().await
}

/// Replaces what a page has below its heading "Measured". What is above is written by hand.
fn write_page(file: &Path, measured: &str) -> Result<()> {
    let page = fs::read_to_string(file).context("read bench.md")?;
    let head = page.split_once(MEASURED).context("bench.md has no heading \"Measured\"")?.0;
    fs::write(file, format!("{head}{MEASURED}{measured}")).context("write bench.md")
}

fn server_of(gateway: &Gateway) -> Result<Server> {
    Ok(Server {
        reached: Reached::Tls(gateway.client(CLIENT)?),
        processes: vec![gateway.pid()],
        question: String::new(),
        log: Some(gateway.log_path().to_owned()),
    })
}

/// Measures the cases in turn, so that what else the machine does falls on all of them.
async fn rounds(args: &CompareArgs, servers: &Servers, deciding: &mut Deciding) -> Result<(Report, Decisions)> {
    println!("-- warming up");
    let cases: Vec<_> = Case::ALL.into_iter().filter(|case| case.name().contains(&args.only)).collect();
    for &case in &cases {
        servers.of(case).measure(case, WARM_UP).await?;
    }
    let (mut report, mut decisions) = (Report::default(), Decisions::default());
    for round in 1..=args.rounds {
        println!("-- round {round} of {}", args.rounds);
        for &case in &cases {
            report.add(case, servers.of(case).measure(case, Duration::from_secs(args.seconds)).await?);
        }
        if "decisions".contains(&args.only) {
            deciding.round(&mut decisions).await?;
        }
    }
    Ok((report, decisions))
}

impl Servers {
    fn of(&self, case: Case) -> &Server {
        match case.peer() {
            Peer::Nginx => &self.nginx,
            Peer::Gateway => &self.gateway,
            Peer::Forgetful => &self.forgetful,
            Peer::ApiServer => &self.api_server,
            Peer::Opa => &self.opa,
        }
    }
}

/// The cipher suite of a new connection.
async fn cipher_suite(server: &Server) -> Result<String> {
    let Reached::Tls(client) = &server.reached else { return Ok("none".to_owned()) };
    let stream = client.tls(b"h2").await?;
    let suite = stream.get_ref().1.negotiated_cipher_suite().context("no cipher suite")?;
    Ok(format!("{:?}", suite.suite()))
}
