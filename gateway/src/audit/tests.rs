//! Records of decisions and outcomes, and what happens without them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use futures::FutureExt;
use serde_json::{Value, json};

use super::testing::{Recorded, change, read};
use super::*;

fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_record_names_its_schema_its_gateway_and_its_request() {
    let recorded = Recorded::new();
    let reasons = ["no".to_owned()];
    let modules =
        [ModuleRecord { module: "a".to_owned(), allow: false, reasons: reasons.to_vec(), ..Default::default() }];
    let refused = DecisionRecord { outcome: "refused", reasons: &reasons, modules: &modules, ..change(r#"{"a":1}"#) };
    recorded.audit.decided(&refused);
    let records = recorded.records();
    let expected = json!({
        "schema": "scalegate.dev/audit/v1", "gateway": "gateway-0", "kind": "decision",
        "decisionId": "00000000-0000-0000-0000-000000000000", "requestId": "00000000-0000-0000-0000-000000000000",
        "peer": "127.0.0.1:40000", "instant": "1970-01-01T00:00:00Z", "clientId": "uri:spiffe://scalegate.test/ci", "trustDomain": "scalegate.test",
        "serial": "5f1c", "action": "set", "dryRun": false, "workloadKind": "Deployment", "namespace": "demo",
        "name": "web", "outcome": "refused", "reasons": ["no"],
        "modules": [{"module": "a", "allow": false, "reasons": ["no"]}], "askedTime": false, "policySet": "0190",
        "elapsedMicros": 42, "inputVersion": "scalegate.dev/v1", "input": {"a": 1},
    });
    assert_eq!(records, [expected]);
}

#[test]
fn allowed_reads_of_the_same_facts_share_one_record_of_their_input() {
    let recorded = Recorded::new();
    for input in [r#"{"a":1}"#, r#"{"a":1}"#, r#"{"a":2}"#] {
        recorded.audit.decided(&read(input));
    }
    let records = recorded.records();
    assert_eq!(kinds(&records), ["input", "decision", "decision", "input", "decision"]);
    assert_eq!(records[0]["input"], json!({"a": 1}));
    let digest = hex::encode(digest(&SHA256, br#"{"a":1}"#));
    assert!(
        [&records[0]["sha256"], &records[1]["inputSha256"], &records[2]["inputSha256"]].iter().all(|it| **it == digest)
    );
    assert_eq!(records[3]["sha256"], records[4]["inputSha256"]);
}

#[test]
fn records_of_a_repeated_answer_differ_in_their_requests_alone() {
    let recorded = Recorded::new();
    let named = std::sync::OnceLock::new();
    let repeated = |number: u128| {
        let subject = Subject {
            decision_id: uuid::Uuid::from_u128(number),
            origin: Origin {
                request_id: uuid::Uuid::from_u128(10 * number),
                peer: format!("[2001:db8::{number}]:443").parse().unwrap(),
                trace: None,
            },
        };
        let instant = jiff::Timestamp::from_millisecond(i64::try_from(number).unwrap()).unwrap();
        let first = DecisionRecord { subject, instant, named: Some(&named), ..read("{}") };
        if number == 1 { first } else { DecisionRecord { cached: true, elapsed_micros: 0, ..first } }
    };
    for number in 1..=4 {
        recorded.audit.decided(&repeated(number));
    }
    let text = recorded.text();
    let records: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(records.len(), 3);
    let expected = |number: u128| {
        let (request, instant) = (10 * number, format!("1970-01-01T00:00:00.00{number}Z"));
        records[0]
            .replace("000000000002", &format!("{number:012x}"))
            .replace("000000000014", &format!("{request:012x}"))
            .replace("2001:db8::2", &format!("2001:db8::{number}"))
            .replace("1970-01-01T00:00:00.002Z", &instant)
    };
    let line: Value = serde_json::from_str(records[0]).unwrap();
    assert_eq!((&line["cached"], &line["instant"]), (&json!(true), &json!("1970-01-01T00:00:00.002Z")));
    assert_eq!(line["inputSha256"], hex::encode(digest(&SHA256, b"{}").as_ref()));
    assert_eq!(records[1..], [expected(3), expected(4)]);
}

#[test]
fn an_input_is_written_again_after_the_output_was_reopened() {
    let recorded = Recorded::new();
    recorded.audit.decided(&read("{}"));
    recorded.audit.reopen();
    recorded.audit.decided(&read("{}"));
    let kinds = kinds(&recorded.records()).join(" ");
    // The thread may not have written the first record before it reopens the file.
    assert!(["input decision input decision", "input decision decision"].contains(&kinds.as_str()), "{kinds}");
}

#[test]
fn records_have_no_character_that_a_terminal_obeys() {
    let recorded = Recorded::new();
    let input = json!({"annotation": "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}"});
    let reasons = ["\u{9b}31m\u{202e}".to_owned()];
    recorded.audit.decided(&DecisionRecord { reasons: &reasons, ..change(&input.to_string()) });
    recorded.audit.decided(&read(&input.to_string()));
    let text = recorded.text();
    assert!(text.chars().all(|c| c == '\n' || !crate::text::invisible(c)), "{text:?}");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["input"], &records[0]["reasons"]), (&input, &json!(reasons)));
    assert_eq!((&records[1]["input"], &records[1]["sha256"]), (&input, &records[2]["inputSha256"]));
    // The digest is that of the input as written.
    let written = text.lines().nth(1).unwrap().split_once(r#""input":"#).unwrap().1.strip_suffix('}').unwrap();
    assert_eq!(records[1]["sha256"], hex::encode(digest(&SHA256, written.as_bytes())));
}

#[test]
fn the_status_says_whether_records_can_be_written() {
    let recorded = Recorded::with(100, WhenFull::Refuse);
    recorded.audit.decided(&read("{}"));
    let status = serde_json::to_value(recorded.audit.status()).unwrap();
    assert!(status["output"].as_str().unwrap().ends_with("/audit.jsonl"), "{status}");
    assert_eq!(
        (&status["writable"], &status["unlogged"], &status["waiting"], &status["lost"]),
        (&json!(true), &json!(1), &json!(0), &json!(0))
    );
}

#[test]
fn an_input_that_would_fill_the_output_is_named_by_its_digest() {
    let recorded = Recorded::new();
    let input = json!("x".repeat(MAX_INPUT)).to_string();
    recorded.audit.decided(&read(&input));
    recorded.audit.decided(&change(&input));
    let records = recorded.records();
    assert_eq!(kinds(&records), ["decision", "decision"]);
    assert_eq!(records[0]["inputSha256"], hex::encode(digest(&SHA256, input.as_bytes())));
    assert_eq!(records[1]["input"].to_string(), input, "a change is recorded whole");
}

#[tokio::test]
async fn a_change_is_followed_by_the_record_of_its_outcome() {
    let recorded = Recorded::new();
    let stored = Outcome::Ended { outcome: "stored", version: Some("u:1".to_owned()), error: None };
    recorded.audit.permitted(&change("{}")).await.unwrap().conclude(&stored);
    let failed = Outcome::Ended { outcome: "unknown", version: None, error: Some("ü".repeat(1000)) };
    recorded.audit.permitted(&change("{}")).await.unwrap().conclude(&failed);
    drop(recorded.audit.permitted(&change("{}")).await.unwrap());
    drop(recorded.audit.permitted(&change("{}")).await.unwrap().attempt());
    let records = recorded.records();
    assert_eq!(kinds(&records), ["decision", "outcome"].repeat(4));
    let outcomes: Vec<_> = records.iter().skip(1).step_by(2).collect();
    assert_eq!((&outcomes[0]["outcome"], &outcomes[0]["version"]), (&json!("stored"), &json!("u:1")));
    assert_eq!(outcomes[0]["decisionId"], records[0]["decisionId"]);
    assert_eq!(outcomes[1]["error"].as_str().unwrap(), "ü".repeat(254) + "…");
    assert_eq!(outcomes[2]["outcome"], "not_attempted");
    assert_eq!(outcomes[3]["outcome"], "unknown", "a write that was abandoned may have happened");
}

#[tokio::test]
async fn a_change_whose_request_is_dropped_while_it_waits_was_not_attempted() {
    let recorded = Recorded::new();
    let record = change("{}");
    // Polled once, it waits for the writer or has its receipt already; then it is dropped.
    drop(Box::pin(recorded.audit.permitted(&record)).now_or_never());
    let records = recorded.records();
    assert_eq!(kinds(&records), ["decision", "outcome"]);
    assert_eq!(records[1]["outcome"], "not_attempted");
}

fn metric(recorded: &Recorded, line: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &recorded.registry).unwrap();
    let found = text.lines().find_map(|it| it.strip_prefix(line));
    found.unwrap_or_else(|| panic!("no {line} in {text}")).trim().parse().unwrap()
}

#[tokio::test]
async fn without_room_changes_are_refused_and_reads_are_counted() {
    let recorded = Recorded::with(100, WhenFull::Refuse);
    assert_eq!(recorded.audit.permitted(&change("{}")).await.err(), Some(Unrecorded));
    recorded.audit.decided(&read("{}"));
    assert_eq!(metric(&recorded, "audit_refused_changes_total"), 1);
    assert_eq!(metric(&recorded, r#"audit_records_total{kind="decision",result="full"}"#), 2);
    assert_eq!(metric(&recorded, "audit_queue_bytes"), 0);
}

#[tokio::test]
async fn without_room_changes_are_allowed_where_the_operator_says_so() {
    let recorded = Recorded::with(100, WhenFull::Allow);
    recorded.audit.permitted(&change("{}")).await.unwrap().conclude(&Outcome::NotAttempted);
    assert_eq!(metric(&recorded, "audit_refused_changes_total"), 0);
    assert_eq!(metric(&recorded, "audit_unrecorded_changes_total"), 1);
    assert_eq!(metric(&recorded, r#"audit_records_total{kind="outcome",result="full"}"#), 1);
}

#[test]
fn the_schema_is_checked_in() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/decision.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(schema(), checked_in, "run `make schema`");
}
