//! Audit records: of every change before it is made, whoever reads them or does not.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::Api;
use kube::api::ListParams;
use rustix::fs::OFlags;
use scalegate::resource::ReplicaTarget;
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::{Gateway, read_records};
use scalegate_tests::poll::eventually;
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::suite;
use serde_json::{Value, json};

/// What a request with so many decimal places in its reason adds to the records, to fill a queue soon.
const LONG_REASON: usize = 400;

fn metric(text: &str, line: &str) -> u64 {
    let found = text.lines().find_map(|it| it.strip_prefix(line)).and_then(|value| value.trim().parse().ok());
    found.unwrap_or_default()
}

/// Everything that a gateway writes to its standard output, as far as somebody reads it.
struct Pipe {
    path: PathBuf,
    file: File,
    text: Vec<u8>,
}

impl Pipe {
    fn new(path: PathBuf) -> Result<Self> {
        ensure!(Command::new("mkfifo").arg(&path).status()?.success(), "mkfifo failed");
        // Opened for both, so that neither side waits for the other.
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let flags = rustix::fs::fcntl_getfl(file.as_fd())?;
        rustix::fs::fcntl_setfl(file.as_fd(), flags | OFlags::NONBLOCK)?;
        Ok(Self { path, file, text: Vec::new() })
    }

    /// Reads what is there.
    fn read(&mut self) {
        let mut part = vec![0; 65536];
        while let Ok(length @ 1..) = self.file.read(&mut part) {
            self.text.extend_from_slice(&part[..length]);
        }
    }

    fn records(&self) -> Vec<Value> {
        let text = String::from_utf8_lossy(&self.text);
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| !line["schema"].is_null()).collect()
    }
}

#[tokio::test]
async fn a_standard_output_that_nobody_reads_stops_changes_and_nothing_else() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("unread").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let mut pipe = Pipe::new(suite.directory("unread-pipe")?.join("stdout"))?;
    let (listen, admin) = (ReservedPort::reserve()?, ReservedPort::reserve()?);
    let mut options = suite.options("unread");
    options.stdout = Some(pipe.path.clone());
    options.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, listen.release()));
    options.admin = SocketAddr::from((Ipv4Addr::LOCALHOST, admin.release()));
    let gateway = suite.start(&options).await?;
    let operator = gateway.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    suite::wait_ready(&operator, &namespace, "web", 2).await?;
    let body = json!({"replicas": 3, "reason": "x".repeat(LONG_REASON)});
    eventually("the Lease", async || {
        pipe.read();
        Ok((operator.put(&path, &body).await?.status == 202).then_some(()))
    })
    .await?;
    pipe.read();

    // Nobody reads from now on: what the pipe holds is some forty records.
    let mut unread = 0;
    eventually("changes to be refused", async || {
        unread += 1;
        let answer = operator.put(&path, &body).await?;
        match answer.status {
            202 => Ok(None),
            503 if answer.code() == "audit_unavailable" => Ok(Some(())),
            other => anyhow::bail!("{other}: {}", answer.json()),
        }
    })
    .await?;
    ensure!(unread > 1, "the pipe was full before");
    let mut kept = operator.http1().await?;
    for _ in 0..500 {
        let read = kept.get(&path).await?;
        assert_eq!(read.status, 200, "{}", read.json());
    }
    for probe in ["/livez", "/readyz"] {
        assert_eq!(gateway.admin(probe).await?.0, 200, "{probe}");
    }
    let refused = operator.put(&path, &body).await?;
    assert_eq!((refused.status, refused.code().as_str()), (503, "audit_unavailable"));
    assert!(!refused.header("retry-after").is_empty());
    let status: Value = serde_json::from_str(&gateway.admin("/status").await?.1)?;
    assert_eq!(status["leader"], true, "the Lease is kept");
    let (_, before) = gateway.admin("/metrics").await?;
    assert!(metric(&before, "scalegate_audit_refused_changes_total") >= 2);
    assert!(metric(&before, "scalegate_audit_queue_bytes") > 0);

    // It flows again.
    let decided = eventually("changes to go on", async || {
        pipe.read();
        let answer = operator.put(&path, &body).await?;
        Ok((answer.status == 202).then(|| answer.json()["decisionId"].as_str().unwrap_or_default().to_owned()))
    })
    .await?;
    let stored = |record: &Value| record["kind"] == "outcome" && record["decisionId"] == decided.as_str();
    let outcome = eventually("the record of its outcome", async || {
        pipe.read();
        Ok(pipe.records().into_iter().find(stored))
    })
    .await?;
    assert_eq!(outcome["outcome"], "stored");
    // What was refused for want of a record that came late says that nothing was attempted; no read is missing, since the
    // queue had room for all of them.
    let (_, metrics) = gateway.admin("/metrics").await?;
    assert_eq!(metric(&metrics, "scalegate_audit_lost_total"), 0);
    let counted =
        |kind: &str| metric(&metrics, &format!("scalegate_audit_records_total{{kind=\"{kind}\",result=\"queued\"}}"));
    for kind in ["decision", "outcome"] {
        eventually(&format!("as many {kind} records as are counted"), async || {
            pipe.read();
            let of_kind = pipe.records().iter().filter(|record| record["kind"] == kind).count();
            Ok((of_kind as u64 == counted(kind)).then_some(()))
        })
        .await?;
    }
    let attempted = pipe.records().iter().filter(|record| record["outcome"] == "not_attempted").count();
    assert!(attempted >= 2, "{attempted}");

    // The gateway ends although the end of its output is not read.
    let reader = std::thread::spawn(move || {
        for _ in 0..100 {
            pipe.read();
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    gateway.terminate().await?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))
}

/// How often a gateway is killed: 5 times, or as `SCALEGATE_KILLS` says.
fn kills() -> usize {
    std::env::var("SCALEGATE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Sets counts until `stop`, whatever comes of it.
async fn keep_setting(client: Client, namespace: String, name: String, stop: Arc<AtomicBool>) {
    let path = suite::replicas(&namespace, &name);
    for round in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let body = json!({"replicas": 1 + round % 2});
        if client.put(&path, &body).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn every_change_that_the_cluster_has_is_on_record_whenever_the_gateway_is_killed() -> Result<()> {
    let suite = suite::exclusive().await?;
    let (namespace, kube) = (suite.namespace("killed").await?, suite.kube().await?);
    let names: Vec<String> = (0..4).map(|number| format!("web-{number}")).collect();
    for name in &names {
        deployment(&namespace, name).replicas(1).create(&kube).await?;
    }
    let file = suite.directory("killed-audit")?.join("audit.jsonl");
    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    let mut changes = 0;
    for round in 0..kills() {
        let mut options = suite.options("killed");
        options.audit.clone_from(&file);
        let gateway = suite.start(&options).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = names
            .iter()
            .map(|name| {
                let client = gateway.client("operator")?;
                Ok(tokio::spawn(keep_setting(client, namespace.clone(), name.clone(), stop.clone())))
            })
            .collect::<Result<_>>()?;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..600))).await;
        gateway.kill().await?;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await?;
        }
        changes = unrecorded(&file, &targets).await.with_context(|| format!("kill {round}"))?;
    }
    println!("{} kills, {changes} changes on record", kills());
    ensure!(changes > kills(), "too few changes to kill any");
    Ok(())
}

/// How many changes the records know; an error if the cluster has one that they do not.
async fn unrecorded(file: &Path, targets: &Api<ReplicaTarget>) -> Result<usize> {
    let records = read_records(file);
    let allowed =
        |record: &&Value| record["kind"] == "decision" && record["action"] == "set" && record["outcome"] == "allowed";
    let recorded: std::collections::BTreeSet<&str> =
        records.iter().filter(allowed).filter_map(|record| record["decisionId"].as_str()).collect();
    for target in targets.list(&ListParams::default()).await?.items {
        let decision = target.spec.decision_id.context("a target without a decision")?;
        ensure!(recorded.contains(decision.as_str()), "{decision} is in the cluster and not on record");
    }
    Ok(recorded.len())
}

#[tokio::test]
async fn a_dry_run_and_a_change_can_be_told_apart_and_the_outcome_is_on_record() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("outcomes").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");

    let dry = operator.put(&format!("{path}?dryRun=true"), &json!({"replicas": 3})).await?.json();
    let record = suite.record("decision", dry["decisionId"].as_str().context("a decision")?).await?;
    assert_eq!((&record["dryRun"], &record["outcome"]), (&json!(true), &json!("allowed")));

    let set = operator.put(&path, &json!({"replicas": 3})).await?.json();
    let decision = set["decisionId"].as_str().context("a decision")?;
    assert_eq!(suite.record("decision", decision).await?["dryRun"], false);
    let outcome = suite.record("outcome", decision).await?;
    assert_eq!((&outcome["outcome"], &outcome["version"]), (&json!("stored"), &set["version"]));

    // Allowed, and not attempted: the version that it was meant for is gone.
    let headers = [("content-type", "application/json"), ("if-match", "\"none:70a354ed-8d71-4f4b-9ff0-9b919e373982\"")];
    let stale = operator.request(http::Method::PUT, &path, &headers, br#"{"replicas": 4}"#.to_vec()).await?;
    assert_eq!(stale.status, 412);
    let request = stale.header("x-request-id").to_owned();
    let outcome = eventually("the record of what was not attempted", async || {
        let all = read_records(suite.gateway_log_path());
        Ok(all.into_iter().find(|record| record["kind"] == "outcome" && record["requestId"] == request.as_str()))
    })
    .await?;
    assert_eq!(outcome["outcome"], "not_attempted");
    Ok(())
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_opened_anew_at_sighup() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("rotated").await?;
    let directory = suite.directory("rotated-audit")?;
    let (file, old) = (directory.join("audit.jsonl"), directory.join("audit.jsonl.1"));
    let mut options = suite.options("rotated");
    options.audit.clone_from(&file);
    let gateway = suite.start(&options).await?;
    let stranger = gateway.client("stranger")?;
    let refused = async |gateway_file: &Path| -> Result<()> {
        let answer = stranger.get(&suite::replicas(&namespace, "web")).await?.json();
        suite::record(gateway_file, "decision", answer["decisionId"].as_str().context("a decision")?).await?;
        Ok(())
    };
    refused(&file).await?;
    std::fs::rename(&file, &old)?;
    hang_up(&gateway)?;
    // The signal is taken a moment later; the look once a second would come later still, or in its place.
    eventually("the file to be there again", async || {
        stranger.get(&suite::replicas(&namespace, "web")).await?;
        Ok(file.exists().then_some(()))
    })
    .await?;
    refused(&file).await?;
    ensure!(!read_records(&old).is_empty());
    gateway.terminate().await
}

fn hang_up(gateway: &Gateway) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(gateway.pid().try_into()?).context("a process id")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::HUP)?)
}
