//! The audit record of each decision.

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::policy::evaluator::ABANDONED;

#[tokio::test]
async fn a_decision_is_one_record_with_all_that_is_needed_to_make_it_again() {
    let (evaluator, recorded) = recorded(&[refusing("a", "no")]);
    let denied =
        evaluator.decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::DryRun)).await.unwrap_err();
    let digest = evaluator.live().status().digest;
    drop(evaluator);
    let records = recorded.records();
    let [record] = &records[..] else { panic!("{records:?}") };
    let Denied::Refused { decision, .. } = denied else { panic!("{denied}") };
    assert_eq!(record["decisionId"], decision.to_string());
    assert_eq!(record["policySet"], digest);
    assert_eq!(record["reasons"], json!(["no"]));
    assert_eq!(record["modules"], json!([{"module": "a", "allow": false, "reasons": ["no"]}]));
    assert_eq!(
        (&record["outcome"], &record["dryRun"], &record["askedTime"]),
        (&json!("refused"), &json!(true), &json!(false))
    );
    assert!(record["instant"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!(record["input"], serde_json::to_value(input(Action::Set, "demo")).unwrap());
}

#[tokio::test]
async fn tags_are_on_record_by_module_of_a_refusal_too() {
    let tags = r#"{"allow":true,"reasons":[],"tags":{"ticket":"OPS-7"}}"#;
    let refusal = r#"{"allow":false,"reasons":["no"],"tags":{"breakGlass":"no"}}"#;
    let (evaluator, recorded) = recorded(&[giving("a", tags), giving("b", refusal)]);
    evaluator.decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Change)).await.unwrap_err();
    drop(evaluator);
    let record = &recorded.records()[0];
    assert_eq!(record["modules"][0], json!({"module": "a", "allow": true, "tags": {"ticket": "OPS-7"}}));
    let refused = json!({"module": "b", "allow": false, "reasons": ["no"], "tags": {"breakGlass": "no"}});
    assert_eq!(record["modules"][1], refused);
}

#[tokio::test]
async fn a_module_that_says_much_makes_no_long_record() {
    let tags: Vec<_> = (0..100).map(|n| format!(r#""tag {n}":"{}""#, "x".repeat(300))).collect();
    let reasons = vec![format!(r#""{}""#, "no ".repeat(400)); 20];
    let verdict = format!(r#"{{"allow":false,"reasons":[{}],"tags":{{{}}}}}"#, reasons.join(","), tags.join(","));
    assert!(verdict.len() > 50_000);
    let (evaluator, recorded) = recorded(&[giving("a", &verdict)]);
    let denied =
        evaluator.decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Change)).await.unwrap_err();
    drop(evaluator);
    let line = recorded.text();
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    // As docs/audit.md says.
    assert!(line.len() - record["input"].to_string().len() < (4 + 9) << 10, "{} bytes", line.len());
    assert_eq!(record["modules"][0]["cut"], true);
    let Denied::Refused { reasons, .. } = denied else { panic!("{denied}") };
    assert_eq!(json!(reasons), record["reasons"], "clients read no more");
    assert!(reasons.last().unwrap().ends_with("more, left out"), "{reasons:?}");
}

#[tokio::test]
async fn an_allowed_change_that_cannot_be_recorded_is_denied_and_a_read_is_not() {
    let evaluator = evaluator(&[giving("a", YES)]);
    let recorded = Recorded::with(1000, WhenFull::Refuse);
    let evaluator = evaluator.with_audit(recorded.audit.clone());
    let denied =
        evaluator.decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Change)).await.unwrap_err();
    assert!(matches!(denied, Denied::Unrecorded { .. }), "{denied}");
    for effect in [Effect::Read, Effect::DryRun] {
        evaluator.decide(&caller(), turn(), asked(input(Action::Get, "demo"), effect)).await.unwrap();
    }
}

fn endless() -> Written {
    Written { more: ", budget: {deadline: 1s}".to_owned(), ..module("a", &Fake::once_loaded(LOOP)) }
}

#[tokio::test]
async fn a_decision_whose_request_is_gone_is_on_record() {
    let (evaluator, recorded) = recorded(&[endless()]);
    assert!(
        Box::pin(evaluator.decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Change)))
            .now_or_never()
            .is_none()
    );
    drop(evaluator);
    let record = &recorded.records()[0];
    assert_eq!((&record["outcome"], &record["cause"]), (&json!("unavailable"), &json!(ABANDONED)));
}

#[tokio::test]
async fn a_decision_that_panics_is_unavailable_and_on_record_inline_and_pooled() {
    // 5 ms run where the request does.
    for deadline in ["5ms", "1s"] {
        let panicking =
            Written { more: format!(", budget: {{deadline: {deadline}}}"), ..module("a", &Fake::panicking()) };
        let (evaluator, recorded) = recorded(&[panicking]);
        let denied =
            evaluator.decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Change)).await.unwrap_err();
        drop(evaluator);
        let Denied::Unavailable { decision, cause } = denied else { panic!("{deadline}: {denied}") };
        assert!(cause.starts_with("policy a: the gateway panicked while evaluating it"), "{deadline}: {cause}");
        let record = &recorded.records()[0];
        assert_eq!(record["decisionId"], decision.to_string());
        assert_eq!((&record["outcome"], record["cause"].as_str()), (&json!("unavailable"), Some(&*cause)));
    }
}
