//! The chart's alerts, its dashboard and the documents name metrics: each must be one that the gateway has. The table in
//! docs/operations.md has all of them.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::repository;
use scalegate_tests::suite::{self, Shared};
use serde_json::json;

use self::table::{Metric, alerts, rows, served};

/// The files, and directories of documents, that name metrics.
const FILES: [&str; 5] = [
    "charts/scalegate/files/alerts.yaml",
    "charts/scalegate/files/dashboard.json",
    "README.md",
    "docs",
    "policies/README.md",
];

/// What the names of all metrics begin with.
const PREFIX: &str = "scalegate_";

/// What a name has behind the one that it was registered under: the unit, or the ending of its type.
const ENDINGS: [&str; 5] = ["", "_total", "_info", "_seconds", "_bytes"];

/// The names in a text that begin with `scalegate_`. A counter that has no series yet is exposed without its ending.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c) && c != '.').map(|word| word.trim_end_matches('.'));
    // One with a dot is the name of a file.
    let words = words.filter(|word| word.len() > PREFIX.len() && word.starts_with(PREFIX) && !word.contains('.'));
    words.map(|word| word.strip_suffix("_total").unwrap_or(word)).collect()
}

/// What a gateway serves that has made decisions, which have series once there were some.
async fn exposition(suite: &Shared) -> Result<String> {
    let namespace = suite.namespace("metrics").await?;
    deployment(&namespace, "web").create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    assert_eq!(operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 2})).await?.status, 202);
    suite.metrics().await
}

/// The files at a path and below it that end so.
fn files(path: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let fits = path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted));
        if path.is_dir() || fits {
            found.extend(files(&path, extensions)?);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn every_metric_that_an_alert_a_panel_or_a_document_names_is_exposed() -> Result<()> {
    let metrics = exposition(&suite::shared().await?).await?;
    let exposed = names(&metrics);
    let mut found = 0;
    for file in FILES {
        for file in files(&repository().join(file), &["md"])? {
            let text = fs::read_to_string(&file)?;
            let named = names(&text);
            found += named.len();
            let unknown: Vec<_> = named.difference(&exposed).collect();
            assert!(unknown.is_empty(), "{} names metrics that the gateway does not have: {unknown:?}", file.display());
        }
    }
    ensure!(found > 50, "only {found} metrics are named");
    Ok(())
}

#[tokio::test]
async fn the_table_of_metrics_is_what_a_gateway_serves_and_what_alerts_use() -> Result<()> {
    let exposition = exposition(&suite::shared().await?).await?;
    let served = served(&exposition);
    let page = fs::read_to_string(repository().join("docs/operations.md"))?;
    let rows = rows(&page);
    let by_name: BTreeMap<_, _> = rows.iter().map(|row| (row.name, row)).collect();
    assert_eq!(by_name.len(), rows.len(), "a metric has two rows");
    let names: BTreeSet<_> = served.keys().map(String::as_str).collect();
    assert_eq!(by_name.keys().copied().collect::<BTreeSet<_>>(), names, "the rows, and what a gateway serves");

    let alerts_yaml = fs::read_to_string(repository().join("charts/scalegate/files/alerts.yaml"))?;
    let alerts = alerts(&alerts_yaml);
    for (name, Metric { kind, unit, labels }) in &served {
        let row = by_name[name.as_str()];
        assert_eq!(row.kind, kind, "the type of {name}");
        assert!(unit.as_ref().is_none_or(|unit| row.unit == unit), "the unit of {name} is {unit:?}");
        assert!(!row.unit.is_empty() && !row.meaning.is_empty(), "{name}");
        assert_eq!(row.alerts, alerts.get(name).cloned().unwrap_or_default(), "the alerts of {name}");
        // A family without series shows no labels.
        if let Some(labels) = labels {
            let of_row: BTreeSet<_> = row.labels.keys().copied().collect();
            assert_eq!(of_row, labels.keys().map(String::as_str).collect(), "the labels of {name}");
            for (label, values) in labels {
                let told = &row.labels[label.as_str()];
                let unknown: Vec<_> = values.iter().filter(|value| !told.contains(value.as_str())).collect();
                assert!(told.is_empty() || unknown.is_empty(), "the values of {label} of {name}: {unknown:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_metric_of_an_alert_is_on_the_dashboard() -> Result<()> {
    let chart = repository().join("charts/scalegate/files");
    let alerts_yaml = fs::read_to_string(chart.join("alerts.yaml"))?;
    let dashboard = fs::read_to_string(chart.join("dashboard.json"))?;
    let (alerted, shown) = (alerts(&alerts_yaml), names(&dashboard));
    ensure!(alerted.len() > 10, "{alerted:?}");
    let missing: Vec<_> = alerted.keys().filter(|metric| !shown.contains(metric.trim_end_matches("_total"))).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
    Ok(())
}

/// The names under which code registers metrics. Some are served only in some configurations.
fn registered(source: &str) -> impl Iterator<Item = &str> {
    let calls = ["register(", "register_with_unit(", "encode_descriptor("];
    calls.into_iter().flat_map(move |call| {
        source.split(call).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
    })
}

#[test]
fn the_table_of_metrics_has_every_one_that_the_code_registers() -> Result<()> {
    let page = fs::read_to_string(repository().join("docs/operations.md"))?;
    let rows: BTreeSet<_> = rows(&page).into_iter().map(|row| row.name).collect();
    let mut found = 0;
    for file in files(&repository().join("gateway/src"), &["rs"])? {
        for name in registered(&fs::read_to_string(&file)?) {
            let has = ENDINGS.iter().any(|ending| rows.contains(format!("{PREFIX}{name}{ending}").as_str()));
            assert!(has, "{} registers {name}, which docs/operations.md does not have", file.display());
            found += 1;
        }
    }
    assert_eq!(found, rows.len(), "rows, and calls that register");
    Ok(())
}
