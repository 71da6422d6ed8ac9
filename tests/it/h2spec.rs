//! Conformance of HTTP/2: whatever of h2spec a bare hyper server passes, the gateway passes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use scalegate_tests::paths::built;
use scalegate_tests::suite;
use scalegate_tests::tls_proxy::TlsProxy;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

/// How long a case waits for what it expects, in seconds.
const PATIENCE: &str = "5";

/// The cases that neither passes, each with the reason, which is upstream's. There is none.
const UPSTREAM: [(&str, &str); 0] = [];

/// Whether each case passed, by its section and its title.
type Report = BTreeMap<String, bool>;

/// The program that `tests/h2spec/build.sh` has built; `None`, after saying so, where this machine cannot.
async fn program() -> Result<Option<PathBuf>> {
    let program = built("tests/h2spec/build.sh").await?;
    if program.is_none() {
        println!("skipped: there is no Go to build h2spec with");
    }
    Ok(program)
}

/// Runs all cases against the server at `address`.
async fn run(program: &Path, address: SocketAddr, report: &Path) -> Result<Report> {
    let output = Command::new(program)
        .args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(["--path", "/healthz", "--timeout", PATIENCE, "--strict", "--junit-report"])
        .arg(report)
        .output()
        .await?;
    let text = std::fs::read_to_string(report)
        .with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stdout)))?;
    read(&text)
}

/// The cases of a report in the format of `JUnit`.
fn read(text: &str) -> Result<Report> {
    let mut report = Report::new();
    for case in text.split("<testcase ").skip(1) {
        let attribute = |name: &str| {
            let (_, rest) = case.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.replace("&#34;", "\"").replace("&#39;", "'").replace("&amp;", "&"))
        };
        let (section, title) = attribute("package").zip(attribute("classname")).context("a case without a title")?;
        let body = case.split("</testcase>").next().unwrap_or_default();
        ensure!(!body.contains("<skipped"), "{section}: {title}: skipped");
        report.insert(format!("{section}: {title}"), !body.contains("<failure") && !body.contains("<error"));
    }
    Ok(report)
}

/// The same answer to everything.
async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello"))))
}

/// Serves with hyper alone.
async fn bare(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                // What ends a connection is the client's to judge.
                connections.spawn(async { drop(connection.await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[tokio::test]
async fn the_gateway_passes_what_bare_hyper_passes_of_h2spec() -> Result<()> {
    let Some(program) = program().await? else { return Ok(()) };
    let suite = suite::shared().await?;
    let reports = tempfile::tempdir()?;
    let proxy = TlsProxy::start(suite.client("viewer")?, b"h2").await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let hyper = listener.local_addr()?;
    let mut server = JoinSet::new();
    server.spawn(bare(listener));
    let (of_hyper, of_gateway) = (reports.path().join("hyper.xml"), reports.path().join("gateway.xml"));
    let (of_hyper, of_gateway) =
        tokio::try_join!(run(&program, hyper, &of_hyper), run(&program, proxy.address, &of_gateway))?;

    let passed = |report: &Report| report.values().filter(|passed| **passed).count();
    println!(
        "of {} cases, bare hyper passes {}, the gateway {}",
        of_hyper.len(),
        passed(&of_hyper),
        passed(&of_gateway)
    );
    ensure!(of_hyper.len() > 100 && of_hyper.keys().eq(of_gateway.keys()), "the reports have different cases");
    for (case, _) in of_hyper.iter().filter(|(case, passed)| !**passed && of_gateway[*case]) {
        println!("  the gateway alone passes {case}");
    }
    let mut wrong = Vec::new();
    for (case, passed) in &of_gateway {
        let listed = UPSTREAM.iter().find(|(known, _)| known == case);
        match (*passed, of_hyper[case], listed) {
            (true, _, None) => {}
            (false, false, Some((_, reason))) => println!("  neither passes {case}: {reason}"),
            (passed, hyper, _) => {
                wrong.push(format!("{case}: gateway {passed}, hyper {hyper}, listed {}", listed.is_some()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
