//! An API server that says nothing any more, while its connections stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use scalegate::resource::ReplicaTarget;
use scalegate_tests::client::{Answer, Client};
use scalegate_tests::controlplane::{ControlPlane, Paused};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::poll;
use scalegate_tests::proxy::{Proxy, address_of};
use scalegate_tests::suite;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::leadership::leads;
use crate::quiet::requests;

/// Far longer than an answer takes that waits for nothing, and far shorter than the outages of these tests.
const PROMPT: Duration = Duration::from_secs(10);

/// Reads and probes that go on until they are asked to end.
struct Readers {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<f64>>,
}

impl Readers {
    /// Reads `path` from each gateway, and asks its probes, all the while.
    fn start(gateways: &[&Gateway], path: &str) -> Result<Self> {
        let (stop, path) = (Arc::new(AtomicBool::new(false)), path.to_owned());
        let clients = gateways.iter().map(|gateway| Ok((gateway.client("viewer")?, gateway.admin)));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut oldest = 0.0_f64;
            while !stopped.load(Ordering::Relaxed) {
                for (viewer, admin) in &clients {
                    let read = timeout(PROMPT, viewer.get(&path)).await.context("a read hangs")??;
                    ensure!(read.status == 200, "{}", read.json());
                    oldest = oldest.max(read.json()["ageSeconds"].as_f64().context("a read has no age")?);
                    for probe in ["/livez", "/readyz"] {
                        let (status, text) = timeout(PROMPT, scalegate_tests::gateway::plain_get(*admin, probe))
                            .await
                            .with_context(|| format!("{probe} hangs"))??;
                        ensure!(status == 200, "{probe}: {text}");
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(oldest)
        });
        Ok(Self { stop, task })
    }

    /// The greatest age of a read in seconds; an error if a read or a probe failed.
    async fn stop(self) -> Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// A write without an API server: it is refused in time, and says when to come again.
async fn refused(client: &Client, path: &str) -> Result<Answer> {
    let answer = client.put(path, &json!({"replicas": 3})).await?;
    let code = answer.code();
    ensure!(answer.status == 503, "{}", answer.json());
    ensure!(["kubernetes_unavailable", "cache_stale"].contains(&code.as_str()), "{}", answer.json());
    ensure!(!answer.header("retry-after").is_empty());
    Ok(answer)
}

/// Writes until the gateway refuses them without asking, since what it knows is too old.
async fn wait_stale(client: &Client, path: &str) -> Result<()> {
    while refused(client, path).await?.code() != "cache_stale" {}
    Ok(())
}

/// Waits until a gateway says whether it is in contact.
async fn wait_contact(client: &Client, status: u16) -> Result<()> {
    poll::eventually(
        "contact, or its loss",
        async || Ok((client.get("/healthz").await?.status == status).then_some(())),
    )
    .await
}

/// Writes a count as soon as that works again.
async fn set(client: &Client, path: &str, replicas: i32) -> Result<()> {
    poll::eventually("writes again", async || {
        Ok((client.put(path, &json!({"replicas": replicas})).await?.status == 202).then_some(()))
    })
    .await
}

/// How many counts were sent to the API server.
async fn scale_writes(plane: &ControlPlane) -> Result<u64> {
    Ok(requests(plane).await?.get("PUT deployments/scale").copied().unwrap_or_default())
}

/// How often the reconciler says that it has scaled, and how often the Deployment was changed since it was made.
async fn changes(kube: kube::Client, namespace: &str) -> Result<(usize, i64)> {
    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), namespace);
    let deployments: Api<Deployment> = Api::namespaced(kube, namespace);
    let history = targets.get("web").await?.status.map(|status| status.history.len());
    let generation = deployments.get("web").await?.metadata.generation.unwrap_or_default();
    Ok((history.unwrap_or_default(), generation - 1))
}

#[tokio::test]
async fn an_api_server_that_is_stopped_for_a_while_stops_writes_and_leadership_and_both_return() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("stopped").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let one = suite.start(&suite.options("stopped-1")).await?;
    poll::eventually("the first gateway to lead", async || Ok(leads(&one).await?.then_some(()))).await?;
    let two = suite.start(&suite.options("stopped-2")).await?;
    let operators = [one.client("operator")?, two.client("operator")?];
    for operator in &operators {
        suite::wait_ready(operator, &namespace, "web", 2).await?;
    }
    let path = suite::replicas(&namespace, "web");
    let before = scale_writes(plane).await?;

    let paused = Paused::api_server(plane).await?;
    let readers = Readers::start(&[&one, &two], &path)?;
    let stale = operators.iter().map(|operator| wait_stale(operator, &path));
    futures::future::try_join_all(stale).await?;
    poll::eventually("nobody to lead", async || Ok((!leads(&one).await? && !leads(&two).await?).then_some(()))).await?;
    for operator in &operators {
        wait_contact(operator, 503).await?;
    }
    let age = readers.stop().await?;
    assert!(age > 30.0, "writes are refused for their age, and the oldest read was {age} s old");

    drop(paused);
    for operator in &operators {
        wait_contact(operator, 200).await?;
    }
    poll::eventually("one to lead", async || Ok((leads(&one).await? != leads(&two).await?).then_some(()))).await?;
    set(&operators[1], &path, 4).await?;
    for operator in &operators {
        suite::wait_ready(operator, &namespace, "web", 4).await?;
    }
    // A write that was on its way when the API server stopped may have been stored since, and so be in the history too.
    let (history, changes) = changes(suite.kube().await?, &namespace).await?;
    let writes = scale_writes(plane).await? - before;
    assert!((1..=2).contains(&history), "{history} changes for one write that was accepted and one that may have been");
    assert_eq!((i64::try_from(history)?, u64::try_from(history)?), (changes, writes), "changes, and requests for them");
    // What goes on for all of the outage is logged once, or twice where the first answers after it came to nothing.
    let unknown = |line: &&Value| line["message"] == "the holder of the lease is not known";
    let logged = [&one, &two].map(|gateway| gateway.log().iter().filter(unknown).count());
    assert!(logged.iter().all(|count| (1..=2).contains(count)), "{logged:?}");
    one.terminate().await?;
    two.terminate().await
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_before_another_begins_and_nobody_writes_twice() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("cut").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let proxy = Proxy::start(address_of(plane.api_url())?).await?;
    let mut behind = suite.options("cut-1");
    let kubeconfig = behind.kubeconfig.take().context("a kubeconfig")?;
    behind.kubeconfig = Some(proxy.kubeconfig(&kubeconfig, &suite.directory("cut")?.join("kubeconfig"))?);
    let one = suite.start(&behind).await?;
    poll::eventually("the first gateway to lead", async || Ok(leads(&one).await?.then_some(()))).await?;
    let two = suite.start(&suite.options("cut-2")).await?;
    let (cut, other) = (one.client("operator")?, two.client("operator")?);
    for operator in [&cut, &other] {
        suite::wait_ready(operator, &namespace, "web", 2).await?;
    }
    let path = suite::replicas(&namespace, "web");
    let before = scale_writes(plane).await?;

    proxy.swallow();
    let readers = Readers::start(&[&one, &two], &path)?;
    set(&other, &path, 3).await?;
    let succession = poll::until("the second gateway to lead", poll::PATIENCE, async || {
        // In this order: had the first one stopped only after the second began, it would be seen here.
        let (new, old) = (leads(&two).await?, leads(&one).await?);
        ensure!(!(new && old), "two leaders at once");
        Ok(if new { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(format!("{old}")) })
    });
    let (succeeded, refused) = tokio::join!(succession, wait_stale(&cut, &path));
    succeeded?;
    refused?;
    suite::wait_ready(&other, &namespace, "web", 3).await?;
    wait_contact(&cut, 503).await?;
    assert!(readers.stop().await? > 30.0, "the reads of the gateway that is cut off have no age");

    proxy.restore();
    wait_contact(&cut, 200).await?;
    suite::wait_ready(&cut, &namespace, "web", 3).await?;
    set(&cut, &path, 4).await?;
    suite::wait_ready(&other, &namespace, "web", 4).await?;
    assert!(leads(&two).await? && !leads(&one).await?, "the one that returns takes over");
    let writes = scale_writes(plane).await? - before;
    assert_eq!((changes(suite.kube().await?, &namespace).await?, writes), ((2, 2), 2));
    one.terminate().await?;
    two.terminate().await
}
