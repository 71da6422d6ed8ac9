//! The chart's alerts and its dashboard name metrics: each must be one that the gateway has.

use std::collections::BTreeSet;

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::repository;
use scalegate_tests::suite;
use serde_json::json;

/// The names in a text that begin with `scalegate_`.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("scalegate_"));
    words.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_metric_of_the_alerts_and_the_dashboard_is_exposed() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("metrics").await?;
    deployment(&namespace, "web").create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    // Requests and decisions have series once there were some.
    assert_eq!(operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 2})).await?.status, 202);

    let exposed = names(&suite.metrics().await?);
    for file in ["alerts.yaml", "dashboard.json"] {
        let text = std::fs::read_to_string(repository().join("charts/scalegate/files").join(file))?;
        let named = names(&text);
        assert!(named.len() > 8, "{file} names {} metrics", named.len());
        let unknown: Vec<_> = named.difference(&exposed).collect();
        assert!(unknown.is_empty(), "{file} names metrics that the gateway does not have: {unknown:?}");
    }
    Ok(())
}
