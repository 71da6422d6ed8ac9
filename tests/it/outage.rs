//! The API server away for a while, or the etcd behind it.

mod dependencies;
mod silent;

use std::time::Duration;

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;

#[tokio::test]
async fn an_outage_of_the_api_server_stops_writes_and_never_reads() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("outage").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let gateway = suite.start(&suite.options("outage")).await?;
    let operator = gateway.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    suite::wait_ready(&operator, &namespace, "web", 2).await?;

    plane.stop_api_server().await?;
    // How long it stays away, not a wait for something: reads and writes go on all the while.
    let back = tokio::time::Instant::now() + Duration::from_secs(10);
    let mut age = 0.0;
    while tokio::time::Instant::now() < back {
        let read = operator.get(&path).await?;
        assert_eq!(read.status, 200, "{}", read.json());
        age = read.json()["ageSeconds"].as_f64().unwrap_or_default();
        let write = operator.put(&path, &json!({"replicas": 3})).await?;
        assert_eq!((write.status, write.code().as_str()), (503, "kubernetes_unavailable"), "{}", write.json());
        assert!(!write.header("retry-after").is_empty());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(age > 1.0, "after ten seconds a read says that it is {age} s old");
    let health = operator.get("/healthz").await?;
    assert_eq!((health.status, &health.json()["kubernetes"]["connected"]), (503, &json!(false)));
    assert!(gateway.is_running());

    plane.start_api_server().await?;
    poll::eventually("contact again", async || Ok((operator.get("/healthz").await?.status == 200).then_some(())))
        .await?;
    let write = poll::eventually("writes again", async || {
        let write = operator.put(&path, &json!({"replicas": 4})).await?;
        Ok((write.status == 202).then_some(write))
    })
    .await?;
    assert_eq!(write.json()["target"]["replicas"], 4);
    // Pods come when Kubernetes' own controllers have recovered, which is theirs to do.
    poll::eventually("the write to arrive", async || {
        let view = operator.get(&path).await?.json();
        Ok((view["spec"]["replicas"] == 4 && view["progress"]["applied"] == true).then_some(()))
    })
    .await?;
    gateway.terminate().await
}
