//! Policies that are swapped while the gateway runs, and those that are not fit to be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::suite::{self, copy_policies};
use serde_json::json;

/// A module that speaks OPA's ABI and never comes back from an evaluation.
const LOOPING: &str = r#"(module
  (import "env" "memory" (memory $memory 2))
  (export "memory" (memory $memory))
  (global (export "opa_wasm_abi_version") i32 (i32.const 1))
  (global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))
  (data (i32.const 1024) "{\"scalegate/verdict\":0}\00")
  (data (i32.const 2048) "{}\00")
  (func (export "opa_malloc") (param i32) (result i32) (i32.const 65536))
  (func (export "opa_heap_ptr_get") (result i32) (i32.const 65536))
  (func (export "opa_value_parse") (param i32 i32) (result i32) (local.get 0))
  (func (export "opa_value_dump") (param i32) (result i32) (local.get 0))
  (func (export "opa_json_dump") (param i32) (result i32) (local.get 0))
  (func (export "entrypoints") (result i32) (i32.const 1024))
  (func (export "builtins") (result i32) (i32.const 2048))
  (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable))"#;

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn write_set(directory: &Path, module: &[u8], sha256: &str) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let set = json!({"modules": [{"name": "only", "module": "only.wasm", "sha256": sha256, "mode": "enforce"}]});
    std::fs::write(directory.join("only.wasm"), module)?;
    std::fs::write(directory.join("policies.yaml"), set.to_string())?;
    Ok(())
}

async fn reloads(gateway: &Gateway, outcome: &str) -> Result<f64> {
    gateway.metric(&format!("scalegate_policy_reloads_total{{outcome=\"{outcome}\"}}")).await.or(Ok(0.0))
}

#[tokio::test]
async fn a_swap_changes_the_answers_and_fails_no_request_in_between() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("swap").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let policies = suite.directory("swapped-policies")?;
    copy_policies("normal", &policies)?;
    let mut options = suite.options("swap");
    options.policies.clone_from(&policies);
    let gateway = suite.start(&options).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 3).await?;
    let path = suite::replicas(&namespace, "web");

    let stop = Arc::new(AtomicBool::new(false));
    let readers = [true, false].map(|kept| {
        let (stop, viewer, path) = (stop.clone(), gateway.client("viewer"), path.clone());
        tokio::spawn(async move {
            let (viewer, mut answered) = (viewer?, 0);
            let mut connection = viewer.http2().await?;
            while !stop.load(Ordering::Relaxed) {
                let answer = if kept { connection.get(&path).await? } else { viewer.get(&path).await? };
                anyhow::ensure!(answer.status == 200, "{}", answer.json());
                answered += 1;
            }
            anyhow::Ok(answered)
        })
    });
    let dry_run = format!("{path}?dryRun=true");
    for (variant, status) in [("freeze", 403), ("normal", 200), ("freeze", 403)] {
        copy_policies(variant, &policies)?;
        suite::eventually("the swapped policy to decide", async || {
            Ok((operator.put(&dry_run, &json!({"replicas": 4})).await?.status == status).then_some(()))
        })
        .await?;
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await?? > 0);
    }
    gateway.terminate().await
}

#[tokio::test]
async fn a_set_that_is_not_fit_never_replaces_the_one_that_serves() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("bad-sets").await?;
    let policies = suite.directory("bad-policies")?;
    copy_policies("normal", &policies)?;
    let good = std::fs::read(policies.join("scalegate.wasm"))?;
    let mut options = suite.options("bad-sets");
    options.policies.clone_from(&policies);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;

    let no_module = wat::parse_str("(module)")?;
    let truncated = &good[..good.len() / 2];
    for (what, module, digest) in [
        ("truncated", truncated, sha256(truncated)),
        ("another digest", &good, sha256(b"another")),
        ("no OPA module", &no_module, sha256(&no_module)),
        ("empty", &[], sha256(&[])),
    ] {
        let before = reloads(&gateway, "failure").await?;
        write_set(&policies, module, &digest)?;
        suite::eventually(what, async || Ok((reloads(&gateway, "failure").await? > before).then_some(()))).await?;
        let answer = viewer.get(&suite::replicas(&namespace, "web")).await?;
        assert_eq!(answer.status, 404, "{what}: the last good set allows the viewer to look: {}", answer.json());
    }
    for text in ["", "modules: []", "modules: 3", "modules: [{name: x}]", "\u{0}", "a: &a [*a]"] {
        let before = reloads(&gateway, "failure").await?;
        std::fs::write(policies.join("policies.yaml"), text)?;
        suite::eventually(text, async || Ok((reloads(&gateway, "failure").await? > before).then_some(()))).await?;
        assert_eq!(viewer.get(&suite::replicas(&namespace, "web")).await?.status, 404, "{text}");
    }
    assert!(gateway.log().iter().any(|line| line["level"] == "WARN" && line.to_string().contains("sha256")));
    gateway.terminate().await
}

#[tokio::test]
async fn a_module_that_never_ends_is_a_503_and_harms_nobody() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("loops").await?;
    let policies = suite.directory("looping-policies")?;
    let module = wat::parse_str(LOOPING)?;
    write_set(&policies, &module, &sha256(&module))?;
    let mut options = suite.options("loops");
    options.policies.clone_from(&policies);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;

    let requests = (0..20).map(|_| viewer.get("/v1/namespaces/none/deployments/web/replicas"));
    for answer in futures::future::join_all(requests).await {
        let answer = answer?;
        assert_eq!((answer.status, answer.code().as_str()), (503, "policy_unavailable"));
        assert!(!answer.json().to_string().contains("deadline"), "the cause is for the log: {}", answer.json());
    }
    assert!(gateway.is_running());

    copy_policies("normal", &policies)?;
    suite::eventually("the good set", async || {
        Ok((viewer.get(&suite::replicas(&namespace, "web")).await?.status == 404).then_some(()))
    })
    .await?;
    gateway.terminate().await
}

#[tokio::test]
async fn a_gateway_without_a_fit_set_does_not_start() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = suite.options("no-policies");
    options.policies = suite.directory("no-policies-at-all")?;
    let error = suite.start(&options).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("policies.yaml"), "{error}");
    Ok(())
}
