#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;

use serde_json::json;

use super::RedactedField::{Annotations, Groups, Peer, Reason};
use super::*;
use crate::audit::testing::{Recorded, change, read};
use crate::audit::{DecisionRecord, ModuleRecord, Outcome};

const SECRETS: [&str; 4] = ["launch of \"Falcon\"", "the one before", "team-falcon", "40 Falcons"];

fn input() -> Value {
    json!({
        "client": {"id": "ci", "groups": [SECRETS[2], "eng"]},
        "target": {"annotations": {"scalegate.dev/note": SECRETS[3], "scalegate.dev/empty": ""}, "labels": {"a": "b"}},
        "current": {"target": {"replicas": 3, "reason": SECRETS[1]}},
        "request": {"replicas": 4, "reason": SECRETS[0]},
    })
}

/// The only two records of an allowed change, whose module repeats everything.
async fn recorded(fields: &[RedactedField]) -> (String, [Value; 2]) {
    let recorded = Recorded::redacting(fields);
    let module = ModuleRecord {
        module: "a".to_owned(),
        allow: true,
        reasons: vec![format!("because of {}", SECRETS[0]), "four is allowed".to_owned(), "eng…".to_owned()],
        tags: [(SECRETS[2].to_owned(), "x".to_owned()), ("note".to_owned(), SECRETS[3].to_owned())].into(),
        cut: true,
    };
    let (input, modules) = (input().to_string(), [module]);
    let pending = recorded.audit.permitted(&DecisionRecord { modules: &modules, ..change(&input) }).await.unwrap();
    let error = Some(format!("spec.reason: Invalid value: {:?}", SECRETS[0]));
    pending.conclude(&Outcome::Ended { outcome: "rejected", version: None, error });
    let text = recorded.text();
    let mut records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let both = [records.next().unwrap(), records.next().unwrap()];
    (text, both)
}

#[tokio::test]
async fn what_is_redacted_stands_nowhere_in_the_records_of_a_decision() {
    let (text, [decision, outcome]) = recorded(&[Reason, Annotations, Groups, Peer]).await;
    for secret in SECRETS.iter().flat_map(|secret| [(*secret).to_owned(), secret.replace('"', "\\\"")]) {
        assert!(!text.contains(&secret), "{secret} is in {text}");
    }
    assert!(!text.contains("127.0.0.1"), "{text}");
    assert_eq!(decision["redacted"], json!(["reason", "annotations", "groups", "peer"]));
    assert_eq!(outcome["redacted"], json!(["peer"]));
    assert_eq!(outcome["peer"], decision["peer"]);
    let input = &decision["input"];
    assert!(input["request"]["reason"].as_str().unwrap().starts_with("hmac:"));
    assert!(input["target"]["annotations"]["scalegate.dev/empty"].as_str().unwrap().starts_with("hmac:"));
    // What is not named stays: the rest of the input, and texts that repeat nothing.
    assert_eq!((&input["request"]["replicas"], &input["target"]["labels"]["a"]), (&json!(4), &json!("b")));
    assert_eq!(decision["modules"][0]["reasons"][1], "four is allowed");
    assert_ne!(decision["modules"][0]["reasons"][2], "eng…", "a text that was cut may end with a part of a value");
}

#[tokio::test]
async fn only_what_is_named_is_redacted() {
    let (_, [decision, outcome]) = recorded(&[Peer]).await;
    assert_eq!((&decision["redacted"], &decision["input"]), (&json!(["peer"]), &input()));
    assert!(outcome["error"].as_str().unwrap().starts_with("spec.reason"));
    let (_, [decision, outcome]) = recorded(&[Groups]).await;
    assert_eq!((&decision["redacted"], &decision["peer"]), (&json!(["groups"]), &json!("127.0.0.1:40000")));
    assert_eq!(decision["input"]["request"], input()["request"]);
    assert_eq!(outcome["redacted"], Value::Null);
}

#[test]
fn equal_values_have_equal_hashes_and_reads_share_a_redacted_input() {
    let recorded = Recorded::redacting(&[Reason, Peer]);
    let input = input().to_string();
    for _ in 0..2 {
        recorded.audit.decided(&read(&input));
    }
    recorded.audit.decided(&change(&input));
    recorded.audit.decided(&change(r#"{"request": null}"#));
    let records = recorded.records();
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["input", "decision", "decision", "decision", "decision"]);
    assert_eq!(records[0]["input"], records[3]["input"]);
    assert_eq!(records[0]["redacted"], json!(["reason"]), "the record of the input says so too");
    assert_eq!((&records[1]["redacted"], &records[4]["redacted"]), (&json!(["reason", "peer"]), &json!(["peer"])));
    // As `openssl dgst -sha256 -hmac 'sixteen bytes it'` makes it.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"sixteen bytes it");
    let expected = hex::encode(hmac::sign(&key, SECRETS[0].as_bytes()).as_ref());
    assert_eq!(records[0]["input"]["request"]["reason"], format!("hmac:{expected}"));
}

#[test]
fn a_key_has_sixteen_bytes_at_least() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"fifteen bytes i").unwrap();
    let error = RedactKey::read(file.path()).unwrap_err().to_string();
    assert!(error.starts_with("audit.redactKeyFile: ") && error.ends_with("16 to 4096 bytes, at random"), "{error}");
    file.write_all(b"t").unwrap();
    assert!(RedactKey::read(file.path()).is_ok());
    file.write_all(&[b'x'; MOST]).unwrap();
    assert!(RedactKey::read(file.path()).is_err());
    assert!(RedactKey::read("/nowhere".as_ref()).unwrap_err().to_string().contains("cannot read /nowhere"));
}

/// More than a key may have.
const MOST: usize = 4096;
