//! What the gateway needs and does not have: an API server when it starts, and the etcd behind it.

use anyhow::{Context, Result, ensure};
use scalegate_tests::controlplane::Paused;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;

use crate::leadership::leads;

#[tokio::test]
async fn a_gateway_that_starts_without_an_api_server_is_not_ready_until_it_is_there() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let options = suite.options("early");
    plane.stop_api_server().await?;
    let gateway = suite.launch(&options).await?;
    let (ready, why) = gateway.admin("/readyz").await?;
    assert_eq!((ready, why.contains("cache: not ok")), (503, true), "{why}");
    assert_eq!((gateway.admin("/startupz").await?.0, gateway.admin("/livez").await?.0), (503, 200));
    plane.start_api_server().await?;
    poll::eventually("the gateway to be ready", async || Ok((gateway.admin("/readyz").await?.0 == 200).then_some(())))
        .await?;
    gateway.terminate().await
}

#[tokio::test]
async fn an_outage_of_etcd_stops_writes_and_never_reads() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("etcd").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let gateway = suite.start(&suite.options("etcd")).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 2).await?;
    poll::eventually("the gateway to lead", async || Ok(leads(&gateway).await?.then_some(()))).await?;
    let path = suite::replicas(&namespace, "web");

    let paused = Paused::etcd(plane).await?;
    poll::eventually("nobody to lead", async || {
        let read = operator.get(&path).await?;
        ensure!(read.status == 200, "{}", read.json());
        let write = operator.put(&path, &json!({"replicas": 3})).await?;
        ensure!((write.status, write.code().as_str()) == (503, "kubernetes_unavailable"), "{}", write.json());
        // The API server's watches stay open, so nothing tells that what they show may be old.
        assert_eq!((gateway.admin("/readyz").await?.0, operator.get("/healthz").await?.status), (200, 200));
        Ok((!leads(&gateway).await?).then_some(()))
    })
    .await?;
    drop(paused);
    let write = poll::eventually("writes again", async || {
        let write = operator.put(&path, &json!({"replicas": 4})).await?;
        Ok((write.status == 202).then_some(write))
    })
    .await?;
    write.json()["target"]["replicas"].as_i64().filter(|count| *count == 4).context("another count")?;
    poll::eventually("the write to arrive", async || {
        let view = operator.get(&path).await?.json();
        Ok((view["spec"]["replicas"] == 4).then_some(()))
    })
    .await?;
    gateway.terminate().await
}
