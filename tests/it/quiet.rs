//! What the gateway asks of the API server, by the API server's own counters.

use std::collections::BTreeMap;

use anyhow::Result;
use scalegate_tests::controlplane::ControlPlane;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::suite;
use serde_json::json;

/// Requests that the API server has served, by verb, resource and subresource: `PUT deployments/scale`.
pub(crate) async fn requests(plane: &ControlPlane) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for line in plane.api_server_metrics().await?.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| {
            line.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default()
        };
        let key = format!("{} {}/{}", label("verb"), label("resource"), label("subresource"));
        let value: u64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        *counts.entry(key).or_default() += value;
    }
    Ok(counts)
}

/// What was added between, without what goes on whether or not anybody asks: leases, and watches that are renewed.
fn added(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let difference =
        after.iter().map(|(key, count)| (key.clone(), count - before.get(key).copied().unwrap_or_default()));
    difference.filter(|(key, count)| *count > 0 && !key.contains("leases") && !key.starts_with("WATCH")).collect()
}

#[tokio::test]
async fn a_thousand_reads_ask_nothing_of_the_api_server() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let gateway = suite.start(&suite.options("reads")).await?;
    let namespace = suite.namespace("quiet").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let viewer = gateway.client("viewer")?;
    suite::wait_ready(&viewer, &namespace, "web", 2).await?;

    let before = requests(plane).await?;
    let mut connection = viewer.http2().await?;
    for _ in 0..500 {
        assert_eq!(connection.get(&suite::replicas(&namespace, "web")).await?.status, 200);
        assert_eq!(connection.get("/v1/deployments").await?.status, 200);
    }
    let after = requests(plane).await?;
    let ours = ["deployments", "replicatargets", "horizontalpodautoscalers", "namespaces", "subjectaccessreviews"];
    let asked: Vec<_> =
        added(&before, &after).into_iter().filter(|(key, _)| ours.iter().any(|name| key.contains(name))).collect();
    assert_eq!(asked, vec![]);
    gateway.terminate().await
}

#[tokio::test]
async fn one_set_writes_one_target_one_scale_and_its_status() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let gateway = suite.start(&suite.options("writes")).await?;
    let namespace = suite.namespace("one-write").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 2).await?;

    let before = requests(plane).await?;
    let answer = operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 3})).await?;
    assert_eq!(answer.status, 202);
    suite::wait_ready(&operator, &namespace, "web", 3).await?;
    let after = requests(plane).await?;
    let added = added(&before, &after);
    let count = |key: &str| added.get(key).copied().unwrap_or_default();
    assert_eq!(count("POST replicatargets/"), 1, "{added:?}");
    assert_eq!(count("PUT deployments/scale"), 1, "{added:?}");
    let others = added.iter().filter(|(key, _)| key.contains("replicatargets"));
    for (key, _) in others {
        assert!(matches!(key.as_str(), "POST replicatargets/" | "PATCH replicatargets/status"), "{added:?}");
    }
    assert!(count("PATCH replicatargets/status") >= 1, "{added:?}");
    gateway.terminate().await
}
