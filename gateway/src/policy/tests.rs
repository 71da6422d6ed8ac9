//! Decisions, by modules made for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod example;
mod lists;
mod record;
mod streams;

use jiff::Timestamp;
use tempfile::TempDir;

use super::document::{Action, Input, Verdict};
use super::evaluator::{Allowed, Evaluator, runs_inline};
use super::input::Tags;
use super::rego::testing::{Fake, LATE, LOOP, RESULT};
use super::reload::PolicyReloader;
use super::set::Loader;
use super::testing::{Written, asked, caller, input, labelled, metrics, module, turn, write};
use super::verdict::{Outcome, Question, evaluate};
use super::{Budget, Denied, Effect, Engine, rego};
use crate::audit::WhenFull;
use crate::audit::testing::{Recorded, audit};

const YES: &str = r#"{"allow":true,"reasons":[]}"#;

fn evaluator(modules: &[Written]) -> Evaluator {
    evaluator_keeping(0, modules)
}

/// The same, which keeps answers of so many bytes.
fn evaluator_keeping(bytes: usize, modules: &[Written]) -> Evaluator {
    let directory = TempDir::new().unwrap();
    write(directory.path(), modules);
    let loader = Loader::new(Engine::new().unwrap()).with_answer_cache(bytes);
    let (_, live) = PolicyReloader::start(loader, directory.path(), metrics()).unwrap();
    Evaluator::new(live, metrics(), audit())
}

fn giving(name: &'static str, verdict: &str) -> Written {
    module(name, &Fake::giving(verdict))
}

fn refusing(name: &'static str, reason: &str) -> Written {
    giving(name, &format!(r#"{{"allow":false,"reasons":["{reason}"]}}"#))
}

/// What comes of a set request in namespace `demo`: `allowed`, the reasons, or why there was no verdict.
async fn outcome(modules: &[Written]) -> String {
    match evaluator(modules).decide(&caller(), turn(), asked(input(Action::Set, "demo"), Effect::Read)).await {
        Ok(_) => "allowed".to_owned(),
        Err(Denied::Refused { reasons, .. }) => reasons.join("|"),
        Err(Denied::Unread) => "unread".to_owned(),
        Err(Denied::Busy { .. }) => "busy".to_owned(),
        Err(Denied::Unrecorded { .. }) => "unrecorded".to_owned(),
        Err(Denied::Unavailable { cause, .. }) => format!("unavailable: {cause}"),
    }
}

#[tokio::test]
async fn every_module_that_matches_must_allow() {
    assert_eq!(outcome(&[giving("a", YES), giving("b", YES)]).await, "allowed");
    assert_eq!(outcome(&[giving("a", YES), refusing("b", "no"), refusing("c", "never")]).await, "no|never");
    let elsewhere = refusing("b", "no").with(", match: {namespaces: [prod]}");
    assert_eq!(outcome(&[giving("a", YES), elsewhere]).await, "allowed");
}

#[test]
fn modules_that_are_slow_only_together_run_in_slots() {
    let deadline =
        |name, more: &str| Written { more: ", budget: {deadline: 3ms}".to_owned(), ..giving(name, YES) }.with(more);
    let is_inline = |modules: &[Written]| runs_inline(&evaluator(modules).live().set(), &input(Action::Set, "demo"));
    assert!(is_inline(&[deadline("a", "")]));
    assert!(!is_inline(&[deadline("a", ""), deadline("b", "")]));
    let elsewhere = deadline("b", ", match: {namespaces: [prod]}");
    assert!(is_inline(&[deadline("a", ""), elsewhere]), "a module that is not asked takes no time");
}

#[tokio::test]
async fn what_no_module_covers_is_refused() {
    let elsewhere = giving("a", YES).with(", match: {actions: [get]}");
    assert_eq!(outcome(&[elsewhere]).await, "no policy module covers set in namespace demo");
}

#[tokio::test]
async fn a_refusal_without_reasons_gets_one() {
    let silent = giving("a", r#"{"allow":false,"reasons":[]}"#);
    assert_eq!(outcome(&[silent]).await, "policy a refuses it and gives no reason");
}

#[tokio::test]
async fn labels_that_cannot_be_seen_do_not_lift_a_modules_rules() {
    let labelled = refusing("b", "no").with(", match: {namespaceLabels: {tier: prod}}");
    let refusal = outcome(&[giving("a", YES), labelled]).await;
    assert_eq!(refusal, "whether policy b covers namespace demo is not known: its labels cannot be seen");
}

#[tokio::test]
async fn a_module_that_fails_is_no_verdict_whatever_the_others_say() {
    let looping = module("b", &Fake::once_loaded(LOOP));
    let looping = Written { more: ", budget: {deadline: 50ms}".to_owned(), ..looping };
    let refused = outcome(&[giving("a", YES), looping]).await;
    assert_eq!(refused, "unavailable: policy b: it took longer than its deadline of 50ms");
    let malformed = outcome(&[answering_once_loaded("a", "true"), giving("b", YES)]).await;
    assert!(malformed.starts_with("unavailable: policy a: its answer is not a valid verdict: "), "{malformed}");
}

#[test]
fn a_deadline_that_is_exceeded_once_is_forgiven() {
    let body = format!("(drop (call $builtin0 (i32.const 7) (i32.const 0))) (i32.const {RESULT})");
    let fake = Fake { builtins: r#"{"test.late":7}"#.to_owned(), ..Fake::once_loaded(&body) };
    let late = Written { more: ", budget: {deadline: 50ms}".to_owned(), ..module("a", &fake) };
    let set = evaluator(&[late]).live().set();
    let question = Question::new(input(Action::Set, "demo")).unwrap();
    let outcome = |late: u32| {
        LATE.set(late);
        evaluate(&set, &question, Timestamp::UNIX_EPOCH).outcome
    };
    for late in [0, 1] {
        assert_eq!(outcome(late), Outcome::Allowed(Tags::new()), "{late}");
    }
    let expected = "policy a: it took longer than its deadline of 50ms";
    assert_eq!(outcome(2), Outcome::Unavailable(expected.to_owned()));
}

/// Allows the questions that are asked at load, and answers others with `result`, whose quotes are escaped.
fn answering_once_loaded(name: &'static str, result: &str) -> Written {
    let fake = Fake {
        imports: format!(r#"(data (i32.const 8192) "[{{\"result\":{result}}}]\00")"#),
        ..Fake::once_loaded("(i32.const 8192)")
    };
    module(name, &fake)
}

#[tokio::test]
async fn what_is_allowed_for_a_time_is_not_allowed_for_ever() {
    for limit in [r#"\"maxSeconds\":3600"#, r#"\"until\":\"2026-11-27T18:00:00Z\""#] {
        let later = answering_once_loaded("a", &format!(r#"{{\"allow\":true,\"reasons\":[],{limit}}}"#));
        let told = outcome(&[later, giving("b", YES)]).await;
        let expected = "unavailable: policy a: its answer is not a valid verdict: `";
        assert!(told.starts_with(expected) && told.contains("` is not supported yet"), "{told}");
    }
}

#[tokio::test]
async fn tags_of_all_modules_are_kept() {
    let tagged = |name, tags: &str| giving(name, &format!(r#"{{"allow":true,"reasons":[],"tags":{tags}}}"#));
    let evaluator = evaluator(&[tagged("a", r#"{"role":"ci"}"#), tagged("b", r#"{"role":"x","team":"web"}"#)]);
    let Allowed { tags, .. } =
        evaluator.decide(&caller(), turn(), asked(input(Action::Get, "demo"), Effect::Read)).await.unwrap();
    assert_eq!(tags, labelled(&[("role", "ci"), ("team", "web")]));
}

#[tokio::test]
async fn more_decisions_than_the_pool_has_places_for_wait_their_turn() {
    let evaluator = evaluator(&[giving("a", YES)]);
    let caller = caller();
    let decisions = (0..50).map(|_| evaluator.decide(&caller, turn(), asked(input(Action::Get, "demo"), Effect::Read)));
    assert!(futures::future::join_all(decisions).await.iter().all(Result::is_ok));
}

fn recorded(modules: &[Written]) -> (Evaluator, Recorded) {
    let (evaluator, recorded) = (evaluator(modules), Recorded::new());
    (evaluator.with_audit(recorded.audit.clone()), recorded)
}
