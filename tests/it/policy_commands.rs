//! `scalegate policy`: what authors of policies see before a gateway does.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::read_records;
use scalegate_tests::paths::{binary, repository};
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::{Value, json};

use crate::modules::{VERDICT, compiled, entry, handmade, opa, sha256};

fn policy(command: &str, variant: &str, arguments: &[&str]) -> Result<Output> {
    let policies = repository().join("target/policies").join(variant);
    Ok(Command::new(binary("scalegate")?).args(["policy", command]).arg(policies).args(arguments).output()?)
}

fn example(name: &str) -> String {
    repository().join(format!("policies/rego/examples/{name}.input.json")).display().to_string()
}

fn decide(variant: &str, example: &str) -> Result<(Option<i32>, Value)> {
    let output = policy("eval", variant, &["--input", &self::example(example)])?;
    let said = serde_json::from_slice(&output.stdout);
    Ok((output.status.code(), said.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?))
}

fn verdict(example: &str) -> Result<Value> {
    let file = repository().join(format!("policies/rego/examples/{example}.verdict.json"));
    Ok(serde_json::from_str(&std::fs::read_to_string(file)?)?)
}

#[test]
fn a_question_is_decided_by_the_compiled_set_with_the_reasons_of_each_module() -> Result<()> {
    let expected = verdict("operator-sets-too-much")?;
    let (code, said) = decide("normal", "operator-sets-too-much")?;
    let module = json!({"module": "scalegate", "allow": false, "reasons": expected["reasons"]});
    let whole =
        json!({"allow": false, "reasons": expected["reasons"], "modules": [module], "tags": {}, "askedTime": false});
    assert_eq!((code, said), (Some(3), whole));

    let (code, said) = decide("normal", "operator-sets")?;
    assert_eq!((code, &said["allow"], &said["tags"]), (Some(0), &json!(true), &verdict("operator-sets")?["tags"]));
    let (code, said) = decide("freeze", "operator-sets")?;
    assert_eq!((code, &said["allow"]), (Some(3), &json!(false)), "the same question in a freeze");
    Ok(())
}

#[test]
fn a_question_that_no_gateway_asks_has_no_answer() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("input.json");
    let ask = |document: &str| -> Result<(Option<i32>, String)> {
        std::fs::write(&file, document)?;
        let output = policy("eval", "normal", &["--input", &file.display().to_string()])?;
        assert!(output.stdout.is_empty());
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    for (document, told) in [
        ("{", "input.json: not the document that policies read"),
        ("{\"apiVersion\": \"scalegate.dev/v1\"}", "missing field `client`"),
        ("{\"apiVersion\": \"scalegate.dev/v7\"}", "apiVersion is \"scalegate.dev/v7\""),
    ] {
        let (code, text) = ask(document)?;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(told), "{document}: {text}");
    }
    let absent = policy("eval", "normal", &["--input", "/nowhere/input.json"])?;
    assert_eq!(absent.status.code(), Some(1));
    assert_eq!(
        policy("eval", "normal", &["--at", "2026-11-22T12:00:00Z"])?.status.code(),
        Some(2),
        "an instant for no question"
    );
    Ok(())
}

#[tokio::test]
async fn a_logged_decision_can_be_made_again() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("again").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let refused = operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 9})).await?.json();
    let id = refused["decisionId"].as_str().context("a decision")?;
    suite.record("decision", id).await?;
    let records = suite.gateway_log_path().display().to_string();
    let again = |id: &str| policy("eval", "normal", &["--decision", id, "--records", &records]);
    let output = again(id)?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((output.status.code(), &said["reasons"]), (Some(3), &refused["reasons"]));

    // The input of an allowed read is in a record of its own.
    for _ in 0..2 {
        let read = operator.get(&suite::replicas(&namespace, "web")).await?;
        let request = read.header("x-request-id");
        let record = poll::eventually("the record", async || {
            Ok(read_records(suite.gateway_log_path()).into_iter().find(|record| record["requestId"] == request))
        })
        .await?;
        assert!(record["inputSha256"].is_string(), "{record}");
        let output = again(record["decisionId"].as_str().context("a decision")?)?;
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let unknown = again("01a217c3-969b-7292-bc39-95649164695f")?;
    let complaint = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(complaint.contains("no record of decision 01a217c3-969b-7292-bc39-95649164695f"), "{complaint}");
    Ok(())
}

#[test]
fn what_a_decision_costs_is_measured_beside_its_budget() -> Result<()> {
    let (seconds, input) = (["--seconds", "1"], example("operator-sets"));
    let arguments = [&["--input", input.as_str()], seconds.as_slice()].concat();
    let output = policy("bench", "normal", &[arguments.as_slice(), &["--json"]].concat())?;
    let costs: Value = serde_json::from_slice(&output.stdout)?;
    let cost = &costs[0];
    assert_eq!((cost["module"].as_str(), costs.as_array().map(Vec::len)), (Some("scalegate"), Some(1)));
    let number = |field: &str| cost[field].as_f64().with_context(|| format!("{field}: {cost}"));
    assert!(number("p50Micros")? > 0.0 && number("p50Micros")? <= number("p99Micros")?, "{cost}");
    assert!(number("evaluations")? >= 1.0 && number("cpuMicros")? > 0.0, "{cost}");
    assert_eq!((number("deadlineMicros")?, number("mostMemoryBytes")?), (5000.0, 16_777_216.0));
    assert!(number("memoryBytes")? >= 65_536.0, "{cost}");

    let table = String::from_utf8(policy("bench", "normal", &arguments)?.stdout)?;
    assert!(table.starts_with("MODULE") && table.contains("\nscalegate "), "{table}");

    let output = policy("bench", "freeze", &["--input", "/nowhere/input.json"])?;
    assert_eq!(output.status.code(), Some(1));
    let output = policy("bench", "normal", &["--input", &input, "--seconds", "0"])?;
    assert_eq!(output.status.code(), Some(2), "no time to measure in");
    Ok(())
}

/// The rows of the table that `policy check` prints for a set of these entries, by their columns.
fn checked(directory: &Path, entries: &[Value]) -> Result<Vec<Vec<String>>> {
    std::fs::write(directory.join("policies.yaml"), json!({ "modules": entries }).to_string())?;
    let output = Command::new(binary("scalegate")?).args(["policy", "check"]).arg(directory).output()?;
    let text = String::from_utf8([output.stdout, output.stderr].concat())?;
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with(&format!("{}: a good set of policies, digest ", directory.display())), "{text}");
    assert_eq!(lines.next().map(|line| line.split_whitespace().next()), Some(Some("MODULE")), "{text}");
    Ok(lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

#[test]
fn a_checked_set_shows_what_each_question_costs_each_module() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let busy = "(local $n i32) (local.set $n (i32.const 10000000))
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i32.const 4096)";
    let mut entries = Vec::new();
    for (name, eval, actions) in
        [("quick", "(i32.const 4096)", json!(["set", "get"])), ("busy", busy, json!(["describe"]))]
    {
        let module = handmade(eval)?;
        let mut entry = entry(name, &module);
        entry["match"] = json!({ "actions": actions });
        entries.push(entry);
        std::fs::write(directory.path().join(format!("{name}.wasm")), module)?;
    }
    let rows = checked(directory.path(), &entries)?;
    let column = |number: usize| rows.iter().map(|row| row[number].as_str()).collect::<Vec<_>>();
    assert_eq!((column(0), column(1)), (vec!["quick", "quick", "busy"], vec!["get", "set", "describe"]));
    let micros = column(2).into_iter().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    assert!(micros[2] > micros[0] && micros[2] > micros[1], "ten million rounds take longer than none: {rows:?}");
    assert!(rows.iter().all(|row| row[3..6] == ["µs", row[4].as_str(), "%"] && row[6..] == ["of", "1000", "ms"]));
    Ok(())
}

#[test]
fn settings_of_3000_rows_are_not_read_again_for_each_decision() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let rules = r#"default verdict := {"allow": false, "reasons": ["no row"]}
        verdict := {"allow": true, "reasons": []} if data.settings.rows[input.target.namespace].min < 4"#;
    let module = compiled(rules, VERDICT)?;
    std::fs::write(directory.path().join("table.wasm"), &module)?;
    let with_rows = |name: &str, rows: usize| {
        let names = std::iter::once("default".to_owned()).chain((1..rows).map(|row| format!("team-{row}")));
        let row = |name: String| (name, json!({"min": 1, "max": 20, "owners": ["operators", "on-call"]}));
        let mut entry = entry(name, &module);
        entry["module"] = "table.wasm".into();
        entry["settings"] = json!({ "rows": names.map(row).collect::<serde_json::Map<_, _>>() });
        entry
    };
    let rows = checked(directory.path(), &[with_rows("one", 1), with_rows("many", 3000)])?;
    let micros = rows.iter().map(|row| row[2].parse()).collect::<Result<Vec<f64>, _>>()?;
    assert_eq!(micros.len(), 8, "{rows:?}");
    for (one, many) in micros[..4].iter().zip(&micros[4..]) {
        // To read so many takes some fifty times as long as the decision.
        assert!(many / one < 5.0, "3000 rows: {many} µs, one row: {one} µs");
    }
    Ok(())
}

#[test]
fn a_set_is_described_with_what_it_calls_and_what_it_may_use() -> Result<()> {
    let output = policy("inspect", "normal", &[])?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let module = &said["modules"][0];
    let wasm = std::fs::read(repository().join("target/policies/normal/scalegate.wasm"))?;
    assert_eq!((module["name"].as_str(), &module["sha256"]), (Some("scalegate"), &json!(sha256(&wasm))));
    assert_eq!(module["hostBuiltins"][0], "sprintf", "{module}");
    assert_eq!((&module["deadlineMillis"], &module["mostMemoryBytes"]), (&json!(5), &json!(16_777_216)));
    let bytes = |field: &str| module[field].as_u64().with_context(|| format!("{field}: {module}"));
    assert!(bytes("codeBytes")? > 100_000 && bytes("initialMemoryBytes")? > 65_536, "{module}");
    assert_eq!(said["digest"].as_str().map(str::len), Some(64));
    Ok(())
}

/// What `policy eval` says of `question` by a set of one entry.
fn decided(directory: &Path, entry: &Value, question: &str) -> Result<(Option<i32>, String)> {
    std::fs::write(directory.join("policies.yaml"), json!({ "modules": [entry] }).to_string())?;
    let mut eval = Command::new(binary("scalegate")?);
    let output = eval.args(["policy", "eval", "--input", question]).arg(directory).output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
}

#[test]
fn a_bundle_loads_as_opa_wrote_it_with_its_data() -> Result<()> {
    let (sources, directory) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let rules =
        "package scalegate\n\nverdict := {\"allow\": input.target.name in data.names, \"reasons\": [\"by data\"]}\n";
    std::fs::write(sources.path().join("mine.rego"), rules)?;
    std::fs::write(sources.path().join("data.json"), r#"{"names": ["web"]}"#)?;
    let bundle = directory.path().join("mine.tar.gz");
    let mut build = Command::new(opa()?);
    build.args(["build", "--target", "wasm", "--optimize", "0", "--entrypoint", VERDICT, "--output"]).arg(&bundle);
    let output = build.args(["mine.rego", "data.json"]).current_dir(&sources).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let bytes = std::fs::read(&bundle)?;
    let mut entry = entry("mine", &bytes);
    entry["module"] = "mine.tar.gz".into();
    let (code, said) = decided(directory.path(), &entry, &example("viewer-gets"))?;
    assert_eq!(code, Some(0), "{said}");

    std::fs::write(directory.path().join("other.json"), "{}")?;
    let mut with_data = entry.clone();
    (with_data["data"], with_data["dataSha256"]) = ("other.json".into(), sha256(b"{}").into());
    let (code, said) = decided(directory.path(), &with_data, &example("viewer-gets"))?;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it has data, so its entry must not name a file of data"), "{said}");

    std::fs::remove_file(directory.path().join("other.json"))?;
    std::fs::write(&bundle, &bytes[..bytes.len() / 2])?;
    let (code, said) = decided(directory.path(), &entry, &example("viewer-gets"))?;
    assert!(code == Some(1) && said.contains("its sha256 is"), "{said}");
    entry["sha256"] = sha256(&bytes[..bytes.len() / 2]).into();
    let (code, said) = decided(directory.path(), &entry, &example("viewer-gets"))?;
    assert!(code == Some(1) && said.contains("it is not a bundle (a .tar.gz written by `opa build`)"), "{said}");
    Ok(())
}
