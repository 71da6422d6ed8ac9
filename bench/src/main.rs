//! `make bench`: what a read costs the gateway, beside a static file that nginx serves on the same machine; and
//! `make bench-scale`: how the gateway's work grows with the cluster.
//!
//! - [`cluster`]: a control plane, one Deployment to read, and the gateway.
//! - [`nginx`]: the server to compare with.
//! - [`machine`]: the core that everything measured runs on, and the processor time of processes.
//! - [`measure`]: requests over one kept mTLS connection, each sent when the one before was answered.
//! - [`report`]: the table.
//! - [`scale`]: how the gateway's work grows.

mod cluster;
mod machine;
mod measure;
mod nginx;
mod report;
mod scale;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use scalegate_tests::client::Client;
use scalegate_tests::paths::scratch;
use scalegate_tests::sandbox::conclude;

use cluster::Cluster;
use measure::{Case, Server};
use nginx::Nginx;
use report::Report;

/// How long each case is warmed up before the first round.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures the gateway.
#[derive(Debug, Parser)]
enum Args {
    Read(ReadArgs),
    Scale(scale::ScaleArgs),
}

/// Measures the processor time that a read costs the gateway, beside a static file that nginx serves.
#[derive(Debug, clap::Args)]
struct ReadArgs {
    /// How many times each case is measured; the table shows medians.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How many seconds each case is measured in a round. Processor time is counted in steps of 10 ms.
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// One thread: the client must stay on the core that it is pinned to.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    conclude(match &Args::parse() {
        Args::Read(args) => read(args).await,
        Args::Scale(args) => scale::run(args).await,
    })
}

async fn read(args: &ReadArgs) -> Result<()> {
    ensure!(!cfg!(debug_assertions), "this is a debug build: `make bench` measures a release build");
    let program = nginx::program()?;
    let machine = machine::describe()?;
    let work = scratch("bench")?;
    println!("-- starting a control plane with one Deployment");
    let cluster = Cluster::start(&work).await?;
    let core = machine::pin()?;
    println!("-- starting the gateway and nginx; they and the client run on core {core}");
    let gateway = cluster.gateway().await?;
    let read = Server::gateway(&gateway)?;
    let body = read.body().await?;
    let nginx = Nginx::start(&program, &work.join("nginx"), &cluster.certs, &body).await?;
    let file = Server::nginx(&nginx, &cluster.certs)?;
    let suite = cipher_suite(&file.client).await?;
    ensure!(suite == cipher_suite(&read.client).await?, "nginx and the gateway use different cipher suites");

    let report = rounds(args, &file, &read).await?;
    println!("\n{machine}; {}; {suite}; body of {} bytes\n\n{report}", nginx.version, body.len());
    nginx.stop().await?;
    gateway.terminate().await?;
    cluster.stop().await
}

/// Measures the cases in turn, so that what else the machine does falls on all of them.
async fn rounds(args: &ReadArgs, file: &Server, read: &Server) -> Result<Report> {
    let server = |case: Case| if case.is_nginx() { file } else { read };
    println!("-- warming up");
    for case in Case::ALL {
        server(case).measure(case, WARM_UP).await?;
    }
    let mut report = Report::default();
    for round in 1..=args.rounds {
        println!("-- round {round} of {}", args.rounds);
        for case in Case::ALL {
            report.add(case, server(case).measure(case, Duration::from_secs(args.seconds)).await?);
        }
    }
    Ok(report)
}

/// The cipher suite of a new connection.
async fn cipher_suite(client: &Client) -> Result<String> {
    let stream = client.tls(b"h2").await?;
    let suite = stream.get_ref().1.negotiated_cipher_suite().context("no cipher suite")?;
    Ok(format!("{:?}", suite.suite()))
}
