//! Policies that are swapped while the gateway runs, and those that are not fit to be.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::{Gateway, read_records};
use scalegate_tests::policies::{Deciding, copy, copy_deciding};
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::{Value, json};

use crate::modules::{VERDICT, compiled, entry, handmade, sha256, write_set};

/// An evaluation that never comes back where the Deployment does not exist: `null` stands before `,"request":null}`.
const LOOPING: &str = r"(if (i32.eq (i32.load8_u (i32.sub (i32.add (local.get 3) (local.get 4)) (i32.const 17))) (i32.const 108))
    (then (loop (br 0)))) (i32.const 4096)";

/// A set of the one module `only`.
fn write_one(directory: &Path, module: &[u8], sha256: &str) -> Result<()> {
    write_one_within(directory, module, sha256, "5ms")
}

/// The same with a deadline.
fn write_one_within(directory: &Path, module: &[u8], sha256: &str, deadline: &str) -> Result<()> {
    let mut entry = entry("only", module);
    entry["sha256"] = json!(sha256);
    entry["budget"] = json!({"deadline": deadline});
    entry["match"] = json!({"actions": ["get"]});
    write_set(directory, &json!({"modules": [entry]}).to_string(), &[("only.wasm".to_owned(), module.to_vec())])
}

async fn reloads(gateway: &Gateway, outcome: &str) -> Result<f64> {
    gateway.metric(&format!("scalegate_policy_reloads_total{{outcome=\"{outcome}\"}}")).await.or(Ok(0.0))
}

#[tokio::test]
async fn a_swap_changes_the_answers_and_fails_no_request_in_between() -> Result<()> {
    for deciding in Deciding::ALL {
        swap(deciding).await.context(deciding.name())?;
    }
    Ok(())
}

async fn swap(deciding: Deciding) -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("swap").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let policies = suite.directory("swapped-policies")?;
    copy_deciding("normal", deciding, &policies)?;
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
        copy_deciding(variant, deciding, &policies)?;
        poll::eventually("the swapped policy to decide", async || {
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
    copy("normal", &policies)?;
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
        write_one(&policies, module, &digest)?;
        poll::eventually(what, async || Ok((reloads(&gateway, "failure").await? > before).then_some(()))).await?;
        let answer = viewer.get(&suite::replicas(&namespace, "web")).await?;
        assert_eq!(answer.status, 404, "{what}: the last good set allows the viewer to look: {}", answer.json());
    }
    for text in ["", "modules: []", "modules: 3", "modules: [{name: x}]", "\u{0}", "a: &a [*a]"] {
        let before = reloads(&gateway, "failure").await?;
        std::fs::write(policies.join("policies.yaml"), text)?;
        poll::eventually(text, async || Ok((reloads(&gateway, "failure").await? > before).then_some(()))).await?;
        assert_eq!(viewer.get(&suite::replicas(&namespace, "web")).await?.status, 404, "{text}");
    }
    poll::eventually("a warning", async || {
        let is_it = |line: &Value| line["level"] == "WARN" && line.to_string().contains("sha256");
        Ok(gateway.log().iter().any(is_it).then_some(()))
    })
    .await?;
    gateway.terminate().await
}

/// Allows what a table in `data.json` allows, and says so at length.
const BY_DATA: &str = r#"default verdict := {"allow": false, "reasons": ["no row allows it"]}
verdict := {"allow": true, "reasons": [], "tags": {"most": sprintf("%v", [row.most])}} if {
    row := data.rows[input.target.namespace]
    row.most >= input.request.replicas
}"#;

#[tokio::test]
async fn a_data_file_decides_and_its_change_is_taken_over() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("data").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let policies = suite.directory("data-policies")?;
    let (viewing, module) =
        (compiled(r#"verdict := {"allow": true, "reasons": []}"#, VERDICT)?, compiled(BY_DATA, VERDICT)?);
    let write = |most: i32| {
        // As many rows as are too many for a rule.
        let mut rows: BTreeMap<_, _> = (0..4000).map(|row| (format!("ns{row}"), json!({"most": row}))).collect();
        rows.insert(namespace.clone(), json!({"most": most}));
        let data = json!({"rows": rows}).to_string().into_bytes();
        let (mut all, mut sets) = (entry("all", &viewing), entry("sets", &module));
        all["match"] = json!({"actions": ["get"]});
        sets["match"] = json!({"actions": ["set"]});
        (sets["data"], sets["dataSha256"]) = (json!("rows.json"), json!(sha256(&data)));
        let files = [("all.wasm", viewing.clone()), ("sets.wasm", module.clone()), ("rows.json", data)];
        let files = files.map(|(name, content)| (name.to_owned(), content));
        write_set(&policies, &json!({"modules": [all, sets]}).to_string(), &files)
    };
    write(5)?;
    let mut options = suite.options("data");
    options.policies.clone_from(&policies);
    let gateway = suite.start(&options).await?;
    let operator = gateway.client("operator")?;
    suite::wait_seen(&operator, &namespace, "web").await?;
    let set = format!("{}?dryRun=true", suite::replicas(&namespace, "web"));
    assert_eq!(operator.put(&set, &json!({"replicas": 5})).await?.status, 200);
    let refused = operator.put(&set, &json!({"replicas": 6})).await?;
    assert_eq!((refused.status, &refused.json()["reasons"]), (403, &json!(["no row allows it"])));
    write(6)?;
    poll::eventually("the new data", async || {
        Ok((operator.put(&set, &json!({"replicas": 6})).await?.status == 200).then_some(()))
    })
    .await?;
    gateway.terminate().await
}

#[tokio::test]
async fn a_module_that_never_ends_is_a_503_and_harms_nobody() -> Result<()> {
    // The first is decided inline, the second in a slot.
    for deadline in ["5ms", "50ms"] {
        never_ending(deadline).await.context(deadline)?;
    }
    Ok(())
}

async fn never_ending(deadline: &str) -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("loops").await?;
    let policies = suite.directory("looping-policies")?;
    let module = handmade(LOOPING)?;
    write_one_within(&policies, &module, &sha256(&module), deadline)?;
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

    copy("normal", &policies)?;
    poll::eventually("the good set", async || {
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

#[tokio::test]
async fn the_answer_to_a_read_is_given_again_until_something_changes_and_each_time_recorded() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("again").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let (policies, file) = (suite.directory("kept-policies")?, suite.directory("kept-audit")?.join("audit.jsonl"));
    copy("normal", &policies)?;
    let mut options = suite.options("kept");
    options.policies.clone_from(&policies);
    options.audit.clone_from(&file);
    let gateway = suite.start(&options).await?;
    let (operator, viewer) = (gateway.client("operator")?, gateway.client("viewer")?);
    suite::wait_ready(&operator, &namespace, "web", 2).await?;
    let path = suite::replicas(&namespace, "web");
    let read = async |client: &Client| -> Result<Value> {
        let answer = client.get(&path).await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.json());
        let request = answer.header("x-request-id").to_owned();
        poll::eventually("the record", async || {
            Ok(read_records(&file).into_iter().find(|record| record["requestId"] == request.as_str()))
        })
        .await
    };
    // The Deployment's status may change once more.
    let read_again = async || {
        poll::eventually("an answer that was given before", async || {
            let record = read(&viewer).await?;
            Ok((record["cached"] == json!(true)).then_some(record))
        })
        .await
    };
    let has_input = |record: &Value| {
        read_records(&file).iter().any(|it| it["kind"] == "input" && it["sha256"] == record["inputSha256"])
    };

    let first = read(&viewer).await?;
    assert_eq!(first["cached"], Value::Null, "{first}");
    let again = read_again().await?;
    assert!(gateway.metric("scalegate_repeated_decisions_total ").await? >= 1.0);
    for (field, same) in [("policySet", true), ("modules", true), ("outcome", true), ("decisionId", false)] {
        assert_eq!(first[field] == again[field], same, "{field}: {first} {again}");
    }
    assert!(has_input(&again), "{again}");
    // The same file without its beginning, as after a rotation that copies and truncates.
    std::fs::OpenOptions::new().write(true).open(&file)?.set_len(0)?;
    let kept = read_again().await?;
    assert!(has_input(&kept), "{kept}");

    let set = operator.put(&path, &json!({"replicas": 3})).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    suite::wait_ready(&operator, &namespace, "web", 3).await?;
    let changed = read(&viewer).await?;
    assert_eq!(changed["cached"], Value::Null, "{changed}");
    assert_ne!(changed["inputSha256"], kept["inputSha256"]);

    read_again().await?;
    copy("freeze", &policies)?;
    let swapped = poll::eventually("the other policies", async || {
        let record = read(&viewer).await?;
        Ok((record["policySet"] != first["policySet"]).then_some(record))
    })
    .await?;
    assert_eq!(swapped["cached"], Value::Null, "{swapped}");
    gateway.terminate().await
}
