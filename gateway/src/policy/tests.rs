//! Decisions and lists, by modules made for it and by the example policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::document::{Action, Verdict};
use super::evaluator::Evaluator;
use super::list::ListQuery;
use super::rego::testing::{Fake, LOOP};
use super::reload::PolicyReloader;
use super::testing::{Written, client, input, labelled, metrics, module, write};
use super::{Budget, Denied, Engine, rego};
use crate::replicas::{Observation, Page, Rollout, Workload};
use crate::workload::{WorkloadKind, WorkloadRef};

const YES: &str = r#"{"allow":true,"reasons":[]}"#;

fn evaluator(modules: &[Written]) -> Evaluator {
    let directory = TempDir::new().unwrap();
    write(directory.path(), modules);
    let (_, live) = PolicyReloader::start(Engine::new().unwrap(), directory.path(), metrics()).unwrap();
    Evaluator::new(live, metrics())
}

fn giving(name: &'static str, verdict: &str) -> Written {
    module(name, &Fake::giving(verdict))
}

fn refusing(name: &'static str, reason: &str) -> Written {
    giving(name, &format!(r#"{{"allow":false,"reasons":["{reason}"]}}"#))
}

/// What comes of a set request in namespace `demo`: `allowed`, the reasons, or why there was no verdict.
async fn outcome(modules: &[Written]) -> String {
    match evaluator(modules).decide(input(Action::Set, "demo")).await {
        Ok(_) => "allowed".to_owned(),
        Err(Denied::Refused { reasons, .. }) => reasons.join("|"),
        Err(Denied::Busy { .. }) => "busy".to_owned(),
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
    let malformed = outcome(&[malformed_once_loaded("a"), giving("b", YES)]).await;
    assert!(malformed.starts_with("unavailable: policy a: its answer is not a valid verdict: "), "{malformed}");
}

/// Allows the questions that are asked at load, and answers others with no verdict.
fn malformed_once_loaded(name: &'static str) -> Written {
    let fake = Fake {
        imports: r#"(data (i32.const 8192) "[{\"result\":true}]\00")"#.to_owned(),
        ..Fake::once_loaded("(i32.const 8192)")
    };
    module(name, &fake)
}

#[tokio::test]
async fn what_is_allowed_for_a_time_is_not_allowed_for_ever() {
    let limited = || giving("a", r#"{"allow":true,"reasons":[],"maxSeconds":3600}"#);
    let shorter = giving("b", r#"{"allow":true,"reasons":[],"maxSeconds":60}"#);
    assert_eq!(outcome(&[limited(), shorter]).await, "it is allowed for 60 seconds at most");
    assert!(evaluator(&[limited()]).decide(input(Action::Get, "demo")).await.is_ok());
    let mut question = input(Action::Set, "demo");
    question.request.as_mut().unwrap().duration_seconds = Some(3600);
    assert!(evaluator(&[limited()]).decide(question).await.is_ok());
}

#[tokio::test]
async fn tags_of_all_modules_are_kept() {
    let tagged = |name, tags: &str| giving(name, &format!(r#"{{"allow":true,"reasons":[],"tags":{tags}}}"#));
    let evaluator = evaluator(&[tagged("a", r#"{"role":"ci"}"#), tagged("b", r#"{"role":"x","team":"web"}"#)]);
    let (_, tags) = evaluator.decide(input(Action::Get, "demo")).await.unwrap();
    assert_eq!(tags, labelled(&[("role", "ci"), ("team", "web")]));
}

#[tokio::test]
async fn more_decisions_than_the_pool_has_places_for_wait_their_turn() {
    let evaluator = evaluator(&[giving("a", YES)]);
    let decisions = (0..50).map(|_| evaluator.decide(input(Action::Get, "demo")));
    assert!(futures::future::join_all(decisions).await.iter().all(Result::is_ok));
}

// --- Lists ---

fn observed(name: &str) -> Observation {
    let name = WorkloadRef::deployment("demo", name);
    let workload = Workload {
        name: name.clone(),
        uid: String::new(),
        resource_version: String::new(),
        generation: 1,
        labels: Arc::default(),
        annotations: Arc::default(),
        replicas: 1,
        ready: 1,
        available: 1,
        updated: 1,
        rollout: Rollout::Complete,
        selector: String::new(),
        replicas_manager: None,
    };
    Observation {
        name,
        workload: Some(Arc::new(workload)),
        target: None,
        autoscalers: Vec::new(),
        namespace_labels: None,
        age: Duration::ZERO,
    }
}

/// The pages of a cluster with Deployments of these names, which are in order.
fn pages(names: &[String]) -> impl Fn(Option<&WorkloadRef>, usize) -> Page {
    move |after, limit| {
        let rest: Vec<_> = names.iter().filter(|name| after.is_none_or(|after| **name > after.name)).collect();
        let items: Vec<_> = rest.iter().take(limit).map(|name| observed(name)).collect();
        let next = items.last().filter(|_| rest.len() > limit).map(|last| last.name.clone());
        Page { scanned: items.len(), items, next }
    }
}

fn query(limit: usize, after: Option<WorkloadRef>) -> ListQuery {
    ListQuery {
        kind: WorkloadKind::Deployment,
        namespace: None,
        selector: kube::core::Selector::default(),
        limit,
        after,
    }
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:05}")).collect()
}

/// The names that a whole walk lists, and the sizes of its parts.
async fn walk(evaluator: &Evaluator, names: &[String], limit: usize) -> (Vec<String>, Vec<usize>) {
    let (mut listed, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let picked = evaluator.pick(&client().into(), &query(limit, after), pages(names)).await.unwrap();
        sizes.push(picked.items.len());
        listed.extend(picked.items.into_iter().map(|(observation, _)| observation.name.name));
        after = picked.next;
        if after.is_none() {
            return (listed, sizes);
        }
    }
}

/// Allows a Deployment whose name, in its fixed place in the document, ends with `0`.
fn ends_with_zero() -> Written {
    // The input is `…"name":"00010"…`: the digit before the quote after it is what counts.
    let document = serde_json::to_string(&super::input::document(
        &client().into(),
        &super::Get { target: WorkloadRef::deployment("demo", "00000") },
        &observed("00000"),
    ));
    let offset = document.unwrap().find("00000").unwrap() + 4;
    let refusal = r#"[{"result":{"allow":false,"reasons":["odd"]}}]"#.replace('"', "\\\"");
    let fake = Fake {
        imports: format!(r#"(data (i32.const 8192) "{refusal}\00")"#),
        ..Fake::evaluating(format!(
            "(if (result i32) (i32.eq (i32.load8_u (i32.add (local.get 3) (i32.const {offset}))) (i32.const 48))
               (then (i32.const 4096)) (else (i32.const 8192)))"
        ))
    };
    module("a", &fake)
}

#[tokio::test]
async fn a_list_shows_each_allowed_deployment_once() {
    let evaluator = evaluator(&[ends_with_zero()]);
    let names = numbered(95);
    let allowed: Vec<_> = names.iter().filter(|name| name.ends_with('0')).cloned().collect();
    for limit in [1, 3, 10, 1000] {
        let (listed, _) = walk(&evaluator, &names, limit).await;
        assert_eq!(listed, allowed, "limit {limit}");
    }
}

#[tokio::test]
async fn a_list_ends_early_rather_than_decide_without_end() {
    let evaluator = evaluator(&[ends_with_zero()]);
    let names = numbered(1250);
    let (listed, sizes) = walk(&evaluator, &names, 150).await;
    assert_eq!((listed.len(), sizes), (125, vec![100, 25]));
}

#[tokio::test]
async fn a_list_ends_early_rather_than_scan_without_end_for_names_that_nothing_matches() {
    let evaluator = evaluator(&[giving("a", r#"{"allow":true,"reasons":[]}"#)]);
    let looked_at = std::cell::Cell::new(0);
    let nothing = |after: Option<&WorkloadRef>, _| {
        looked_at.set(looked_at.get() + 1_000);
        let next = after.map_or(0, |after| after.name.parse::<u32>().unwrap()) + 1_000;
        Page { items: Vec::new(), scanned: 1_000, next: Some(WorkloadRef::deployment("demo", next.to_string())) }
    };
    let picked = evaluator.pick(&client().into(), &query(10, None), nothing).await.unwrap();
    assert_eq!((picked.items.len(), looked_at.get()), (0, 10_000));
    assert_eq!(
        picked.next.map(|next| next.name),
        Some("10000".to_owned()),
        "the next page goes on where this one ended"
    );
}

#[tokio::test]
async fn a_list_fails_as_a_whole() {
    let evaluator = evaluator(&[malformed_once_loaded("a")]);
    let picked = evaluator.pick(&client().into(), &query(10, None), pages(&numbered(3))).await;
    assert!(matches!(picked, Err(Denied::Unavailable { .. })));
}

// --- The decision log ---

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

// --- The example policy ---

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn example_policy() -> Vec<u8> {
    let path = workspace("target/policies/scalegate.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("run `make policies` first: {}: {error}", path.display()))
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_example_policy_gives_the_verdicts_that_opa_gives() {
    let engine = Engine::new().unwrap();
    let wasm = example_policy();
    let examples = workspace("policies/rego/examples");
    let budget = Budget { deadline: Duration::from_secs(1), ..Budget::default() };
    let load = |settings: &Path| rego::Module::load(&engine, &wasm, budget, fs::read(settings).unwrap()).unwrap();
    let mut modules: BTreeMap<PathBuf, rego::Module> = BTreeMap::new();
    let mut compared = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".input.json") else { continue };
        let settings = examples.join(format!("{name}.settings.json"));
        let settings = if settings.exists() { settings } else { examples.join("settings.json") };
        let module = modules.entry(settings).or_insert_with_key(|settings| load(settings));
        let input = fs::read(examples.join(format!("{name}.input.json"))).unwrap();
        let verdict = module.evaluate(&input, Timestamp::now()).unwrap().verdict;
        let expected: Verdict = serde_json::from_value(json(&examples.join(format!("{name}.verdict.json")))).unwrap();
        assert_eq!(verdict, expected, "{name}");
        compared += 1;
    }
    assert!(compared > 0, "{} holds no examples", examples.display());
}

#[tokio::test]
async fn the_development_policies_decide_about_the_gateways_own_document() {
    for (variant, expected) in [("normal", None), ("freeze", Some("changes are frozen"))] {
        let directory = workspace("target/policies").join(variant);
        let started = PolicyReloader::start(Engine::new().unwrap(), &directory, metrics());
        let (_, live) = started.unwrap_or_else(|error| panic!("run `make policies` first: {error}"));
        let decided = Evaluator::new(live, metrics()).decide(input(Action::Set, "demo")).await;
        match (decided, expected) {
            (Ok((_, tags)), None) => assert_eq!(tags, labelled(&[("role", "ci")])),
            (Err(Denied::Refused { reasons, .. }), Some(reason)) => {
                assert!(reasons[0].starts_with(reason), "{reasons:?}");
            }
            (other, _) => panic!("{variant}: {other:?}"),
        }
    }
}

#[test]
fn the_checked_in_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/schema.json");
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    assert_eq!(json(&checked_in), json(&super::document::schema()), "run `make schema` and read the difference");
}
