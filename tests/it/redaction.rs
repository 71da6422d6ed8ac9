//! `audit.redact`: what an operator does not want in records.

use std::process::Command;

use anyhow::{Context, Result};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::binary;
use scalegate_tests::suite;
use serde_json::{Value, json};

#[tokio::test]
async fn redacted_values_are_hashes_in_every_record_and_the_decision_cannot_be_made_again() -> Result<()> {
    const REASON: &str = "project falcon launches";
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("redacted").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let file = suite.directory("redacted-audit")?.join("audit.jsonl");
    let mut options = suite.options("redacted");
    options.audit.clone_from(&file);
    options.redact = vec!["reason".to_owned(), "peer".to_owned()];
    let gateway = suite.start(&options).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 2).await?;
    let path = suite::replicas(&namespace, "web");
    let mut hashes = Vec::new();
    for replicas in [3, 4] {
        let set = operator.put(&path, &json!({"replicas": replicas, "reason": REASON})).await?.json();
        let decision = set["decisionId"].as_str().context("a decision")?;
        let record = suite::record(&file, "decision", decision).await?;
        assert_eq!(record["redacted"], json!(["reason", "peer"]));
        assert_eq!(suite::record(&file, "outcome", decision).await?["redacted"], json!(["peer"]));
        hashes.push((record["input"]["request"]["reason"].clone(), record["peer"].clone()));

        let mut again = Command::new(binary("scalegate")?);
        again.args(["policy", "eval"]).arg(&options.policies).args(["--decision", decision, "--records"]).arg(&file);
        let output = again.output()?;
        let text = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1));
        assert!(text.contains("its record has hashes in place of reason (audit.redact)"), "{text}");
    }
    assert_eq!(hashes[0], hashes[1], "equal values have equal hashes");
    assert!(hashes[0].0.as_str().is_some_and(|hash| hash.starts_with("hmac:")), "{hashes:?}");
    let text = std::fs::read_to_string(&file)?;
    assert!(!text.contains("falcon") && !text.contains("127.0.0.1"), "{text}");
    let status: Value = serde_json::from_str(&gateway.admin("/status").await?.1)?;
    let audit = &status["audit"];
    assert_eq!((&audit["output"], &audit["writable"]), (&json!(file), &json!(true)), "{status}");
    assert_eq!(audit["redacted"], json!(["reason", "peer"]));
    gateway.terminate().await
}

#[tokio::test]
async fn records_are_decided_again_after_their_file_was_truncated_in_place() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("truncated").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let file = suite.directory("truncated-audit")?.join("audit.jsonl");
    let mut options = suite.options("truncated");
    options.audit.clone_from(&file);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    suite::wait_ready(&viewer, &namespace, "web", 2).await?;
    let path = suite::replicas(&namespace, "web");
    let read = async || -> Result<Value> {
        let request = viewer.get(&path).await?.header("x-request-id").to_owned();
        scalegate_tests::poll::eventually("the record", async || {
            let all = scalegate_tests::gateway::read_records(&file);
            Ok(all.into_iter().find(|record| record["requestId"] == request.as_str()))
        })
        .await
    };
    read().await?;
    std::fs::OpenOptions::new().write(true).open(&file)?.set_len(0)?;
    let record = read().await?;
    assert!(record["inputSha256"].is_string(), "{record}");
    let decision = record["decisionId"].as_str().context("a decision")?;
    let mut again = Command::new(binary("scalegate")?);
    again.args(["policy", "eval"]).arg(&options.policies).args(["--decision", decision, "--records"]).arg(&file);
    let output = again.output()?;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    gateway.terminate().await
}
