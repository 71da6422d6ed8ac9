//! The chart's alerts, its dashboard and the documents name metrics: each must be one that the gateway has.

use std::collections::BTreeSet;

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::repository;
use scalegate_tests::suite;
use serde_json::json;

/// The files that name metrics.
const FILES: [&str; 5] = [
    "charts/scalegate/files/alerts.yaml",
    "charts/scalegate/files/dashboard.json",
    "docs/operations.md",
    "docs/errors.md",
    "README.md",
];

/// What the names of all metrics begin with.
const PREFIX: &str = "scalegate_";

/// The names in a text that begin with `scalegate_`. A counter that has no series yet is exposed without its ending.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.len() > PREFIX.len() && word.starts_with(PREFIX));
    words.map(|word| word.strip_suffix("_total").unwrap_or(word)).collect()
}

#[tokio::test]
async fn every_metric_that_an_alert_a_panel_or_a_document_names_is_exposed() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("metrics").await?;
    deployment(&namespace, "web").create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    // Requests and decisions have series once there were some.
    assert_eq!(operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 2})).await?.status, 202);

    let metrics = suite.metrics().await?;
    let exposed = names(&metrics);
    for file in FILES {
        let text = std::fs::read_to_string(repository().join(file))?;
        let named = names(&text);
        assert!(!named.is_empty(), "{file} names no metrics");
        let unknown: Vec<_> = named.difference(&exposed).collect();
        assert!(unknown.is_empty(), "{file} names metrics that the gateway does not have: {unknown:?}");
    }
    Ok(())
}
