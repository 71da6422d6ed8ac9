//! `scalegate watch`, as a process whose lines are read.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Api;
use kube::api::DeleteParams;
use rustix::process::{Pid, Signal, kill_process};
use scalegate_tests::suite::{self, Shared, replicas};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use super::{client, tiers};

/// How long a line may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(suite: &Shared, who: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = client(suite, who)?;
        command.arg("watch").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, lines })
    }

    async fn line(&mut self) -> Result<String> {
        timeout(PATIENCE, self.lines.next_line()).await.context("no line came")??.context("the output has ended")
    }

    /// Waits for a line whose words are these.
    async fn until(&mut self, words: &str) -> Result<()> {
        while self::words(&self.line().await?) != words {}
        Ok(())
    }
}

/// The words of a line, with one blank between them.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn rows_are_shown_as_they_change() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let mut watch = Watch::start(&suite, "viewer", &["-n", &namespace])?;
    watch.until("NAME DESIRED CURRENT READY OWNER BY").await?;
    for row in ["api 1 1 1 <none> <none>", "job 1 1 1 <none> <none>", "web 3 3 3 <none> <none>"] {
        assert_eq!(words(&watch.line().await?), row);
    }
    suite.client("operator")?.put(&replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    watch.until("web 4 4 4 ReplicaTarget uri:spiffe://scalegate.test/operator").await?;
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(suite.kube().await?, &namespace);
    deployments.delete("job", &DeleteParams::default()).await?;
    watch.until("job <gone>").await?;

    let id = watch.child.id().and_then(|id| id.try_into().ok()).and_then(Pid::from_raw).context("it has ended")?;
    kill_process(id, Signal::INT)?;
    let ended = timeout(PATIENCE, watch.child.wait()).await??;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(2), "as Ctrl-C ends programs");
    Ok(())
}

#[tokio::test]
async fn a_watch_of_nothing_says_so_until_there_is_something() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("cli").await?;
    let mut watch = Watch::start(&suite, "viewer", &["-n", &namespace])?;
    let mut notes = BufReader::new(watch.child.stderr.take().context("no standard error")?).lines();
    let note = timeout(PATIENCE, notes.next_line()).await.context("no note came")??;
    assert_eq!(note, Some(format!("no Deployments that you may see in namespace {namespace} yet")));
    scalegate_tests::fixtures::deployment(&namespace, "web").create(&suite.kube().await?).await?;
    assert_eq!(words(&watch.line().await?), "NAME DESIRED CURRENT READY OWNER BY");
    assert!(watch.line().await?.starts_with("web "));
    Ok(())
}

#[tokio::test]
async fn programs_get_a_document_on_each_line() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let mut watch = Watch::start(&suite, "viewer", &["web", "-n", &namespace, "-o", "json"])?;
    let first: Value = serde_json::from_str(&watch.line().await?)?;
    assert_eq!((&first["event"], &first["data"]["spec"]["replicas"]), (&json!("replicas"), &json!(3)), "{first}");
    assert_eq!(serde_json::from_str::<Value>(&watch.line().await?)?["event"], "synced");
    suite.client("operator")?.put(&replicas(&namespace, "web"), &json!({"replicas": 2})).await?;
    loop {
        let next: Value = serde_json::from_str(&watch.line().await?)?;
        if next["data"]["progress"]["ready"] == true && next["data"]["status"]["readyReplicas"] == 2 {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_watch_goes_on_at_a_gateway_that_was_replaced() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("cli").await?;
    scalegate_tests::fixtures::deployment(&namespace, "web").create(&suite.kube().await?).await?;
    let options = suite.options("cli-first");
    let first = suite.start(&options).await?;
    let viewer = first.client("viewer")?;
    suite::wait_ready(&viewer, &namespace, "web", 1).await?;
    let address = first.address;
    let certs = options.certs.clone();
    let mut command = tokio::process::Command::new(scalegate_tests::paths::binary("scalegate")?);
    let mut child = command
        .args(["watch", "-n", &namespace, "--server", &format!("https://localhost:{}", address.port())])
        .arg("--ca")
        .arg(certs.join("ca.pem"))
        .arg("--cert")
        .arg(certs.join("clients/viewer.pem"))
        .arg("--key")
        .arg(certs.join("clients/viewer-key.pem"))
        .env("SCALEGATE_CONFIG", certs.join("no-contexts.yaml"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut watch = Watch { child, lines };
    watch.until("web 1 1 1 <none> <none>").await?;
    first.terminate().await?;
    let mut again = suite.options("cli-second");
    again.listen = address;
    let second = suite.start(&again).await?;
    let operator = second.client("operator")?;
    suite::wait_seen(&operator, &namespace, "web").await?;
    operator.put(&replicas(&namespace, "web"), &json!({"replicas": 2})).await?;
    // The row that has not changed is not shown again; the one that has needs a wider column for its owner.
    assert_eq!(words(&watch.line().await?), "NAME DESIRED CURRENT READY OWNER BY");
    let next = watch.line().await?;
    assert!(next.starts_with("web") && !next.contains("<none>   <none>"), "{next}");
    let last = "web 2 2 2 ReplicaTarget uri:spiffe://scalegate.test/operator";
    // The new stream may begin as late as that.
    if words(&next) != last {
        watch.until(last).await?;
    }
    drop(watch);
    second.terminate().await
}

#[tokio::test]
async fn a_watch_that_nobody_reads_any_further_ends() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let mut watch = Watch::start(&suite, "viewer", &["web", "-n", &namespace])?;
    watch.until("web 3 3 3 <none> <none>").await?;
    let Watch { mut child, lines } = watch;
    drop(lines);
    suite.client("operator")?.put(&replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    let ended = timeout(PATIENCE, child.wait()).await.context("it goes on")??;
    assert!(ended.success(), "{ended}");
    Ok(())
}

#[tokio::test]
async fn a_watch_of_what_may_not_be_seen_ends_with_the_reason() -> Result<()> {
    let suite = suite::shared().await?;
    for (who, code) in [("stranger", 3), ("viewer", 4)] {
        let ended = super::run(&suite, who, &["watch", "demo/none-there"]).await?;
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{ended:?}");
    }
    Ok(())
}
