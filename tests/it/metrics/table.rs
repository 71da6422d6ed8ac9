//! Metrics as a gateway serves them, as docs/operations.md lists them, and as alerts name them.

use std::collections::{BTreeMap, BTreeSet};

/// A metric that is served.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    /// The values of each label; `None` without a series.
    pub(super) labels: Option<BTreeMap<String, BTreeSet<String>>>,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    /// The values of each label; none where they are not listed.
    pub(super) labels: BTreeMap<&'a str, BTreeSet<&'a str>>,
    pub(super) unit: &'a str,
    pub(super) meaning: &'a str,
    pub(super) alerts: BTreeSet<&'a str>,
}

/// The metrics in `OpenMetrics` text, by the names that queries use, except for the endings of histograms.
pub(super) fn served(text: &str) -> BTreeMap<String, Metric> {
    let mut found: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", name, kind] => {
                let ending = match kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                current = format!("{name}{ending}");
                kind.clone_into(&mut found.entry(current.clone()).or_default().kind);
            }
            ["#", "UNIT", _, unit] => found.entry(current.clone()).or_default().unit = Some(unit.to_owned()),
            ["#", ..] => {}
            _ => {
                let labels = found.entry(current.clone()).or_default().labels.get_or_insert_default();
                for (label, value) in pairs(line).filter(|(label, _)| *label != "le") {
                    labels.entry(label.to_owned()).or_default().insert(value.to_owned());
                }
            }
        }
    }
    found
}

/// The labels of a series. No value has a quote or a comma in it.
fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let inside = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
    inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(label, value)| (label, value.trim_matches('"')))
}

/// The rows of a page that are about a metric.
pub(super) fn rows(page: &str) -> Vec<Row<'_>> {
    let rows = page.lines().filter(|line| line.starts_with("| `scalegate_"));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning, alerts] = cells[..] else { return None };
        let alerts = alerts.split('[').skip(1).filter_map(|link| link.split(']').next()).collect();
        Some(Row { name: name.trim_matches('`'), kind, labels: labels_in(labels), unit, meaning, alerts })
    })
    .collect()
}

/// The labels of a cell, such as `` `route`, `kind` (`server`, `client_ca`) ``.
fn labels_in(cell: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut label, mut is_value) = ("", false);
    for (at, part) in cell.split('`').enumerate() {
        match (at % 2 == 0, is_value) {
            (true, _) => {
                if let Some(last) = part.rfind(['(', ')']) {
                    is_value = part[last..].starts_with('(');
                }
            }
            (false, true) => drop(labels.entry(label).or_default().insert(part)),
            (false, false) => {
                label = part;
                labels.entry(label).or_default();
            }
        }
    }
    labels
}

/// The alerts whose expressions name each metric.
pub(super) fn alerts(yaml: &str) -> BTreeMap<String, BTreeSet<&str>> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut alert = "";
    for line in yaml.lines() {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alert = name;
        } else if let Some(expression) = line.trim().strip_prefix("expr: ") {
            let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            for metric in words.filter(|word| word.starts_with(super::PREFIX)) {
                found.entry(metric.to_owned()).or_default().insert(alert);
            }
        }
    }
    found
}

#[test]
fn a_gateways_text_and_a_pages_rows_are_read_alike() {
    let text = "# HELP scalegate_a Words.\n# TYPE scalegate_a counter\nscalegate_a_total{kind=\"x\",le=\"1\"} 2\n\
                # HELP scalegate_b_seconds W.\n# TYPE scalegate_b_seconds gauge\n# UNIT scalegate_b_seconds seconds\n# EOF\n";
    let served = served(text);
    let labels = BTreeMap::from([("kind".to_owned(), BTreeSet::from(["x".to_owned()]))]);
    assert_eq!(served["scalegate_a_total"], Metric { kind: "counter".to_owned(), unit: None, labels: Some(labels) });
    let gauge = Metric { kind: "gauge".to_owned(), unit: Some("seconds".to_owned()), labels: None };
    assert_eq!(served["scalegate_b_seconds"], gauge);

    let page = "| `scalegate_a_total` | counter | `kind` (`x`, `y`), `route` | things | words | [A](#a), [B](#b) |";
    let row = &rows(page)[0];
    assert_eq!((row.name, row.kind, row.unit, row.meaning), ("scalegate_a_total", "counter", "things", "words"));
    assert_eq!(row.labels, BTreeMap::from([("kind", BTreeSet::from(["x", "y"])), ("route", BTreeSet::new())]));
    assert_eq!(row.alerts, BTreeSet::from(["A", "B"]));
    assert_eq!(alerts("- alert: A\n  expr: rate(scalegate_a_total{x=\"y\"}[5m])\n")["scalegate_a_total"].len(), 1);
}
