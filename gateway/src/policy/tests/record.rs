//! The log line of each decision.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_decision_is_one_line_with_all_that_is_needed_to_make_it_again() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let evaluator = evaluator(&[refusing("a", "no")]);
    let guard = tracing::subscriber::set_default(subscriber);
    let denied = evaluator.decide(input(Action::Set, "demo")).await.unwrap_err();
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let Denied::Refused { decision, .. } = denied else { panic!("{denied}") };
    assert_eq!(line["decision_id"], decision.to_string());
    assert_eq!(line["policy_set"], evaluator.live().status().digest);
    assert_eq!(line["reasons"], r#"["no"]"#);
    assert_eq!(line["verdicts"], r#"[{"module":"a","allow":false}]"#);
    assert_eq!((line["allow"].as_bool(), line["asked_time"].as_bool()), (Some(false), Some(false)));
    assert!(line["instant"].as_str().unwrap().parse::<Timestamp>().is_ok());
    let logged: serde_json::Value = serde_json::from_str(line["input"].as_str().unwrap()).unwrap();
    assert_eq!(logged, serde_json::to_value(input(Action::Set, "demo")).unwrap());
}

#[tokio::test]
async fn a_decision_that_panics_is_unavailable_and_on_record_inline_and_pooled() {
    // 5 ms run where the request does.
    for deadline in ["5ms", "1s"] {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
        let panicking =
            Written { more: format!(", budget: {{deadline: {deadline}}}"), ..module("a", &Fake::panicking()) };
        let evaluator = evaluator(&[panicking]);
        let guard = tracing::subscriber::set_default(subscriber);
        let denied = evaluator.decide(input(Action::Set, "demo")).await.unwrap_err();
        drop(guard);
        let Denied::Unavailable { decision, cause } = denied else { panic!("{deadline}: {denied}") };
        assert!(cause.starts_with("policy a: the gateway panicked while evaluating it"), "{deadline}: {cause}");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let logged = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let record = text.lines().map(logged).find(|line| line["target"] == "decision").unwrap();
        assert_eq!(record["decision_id"], decision.to_string());
        assert_eq!(record["outcome"], "unavailable");
    }
}
