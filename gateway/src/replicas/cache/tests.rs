//! What readers and waiters get from the cache.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;

use crate::cpu;
use crate::workload::WorkloadRef;
use kube::core::Expression;

use super::super::decode::Scaling;
use super::super::fixtures::{Object, deployment, target};
use super::super::kind::{AutoscalerKind, DeploymentKind};
use super::super::{Autoscaler, MOST_AUTOSCALERS, Replicas, Version, Workload};
use super::*;

const KIND: WorkloadKind = WorkloadKind::Deployment;

fn name(namespace: &str, name: &str) -> WorkloadRef {
    WorkloadRef::deployment(namespace, name)
}

fn object(namespace: &str, name: &str) -> ObjectName {
    ObjectName::new(namespace, name)
}

fn autoscaler(of: &WorkloadRef, name: &str) -> Object {
    Object::Autoscaler { of: of.clone(), autoscaler: Autoscaler::new(name, 1, 5) }
}

/// `a/one`, `a/two`, `a-b/one`, `b/one` to `b/four`; those called `one` have the label `first=yes`.
fn cluster() -> Replicas {
    let names = [("a", "one"), ("a", "two"), ("a-b", "one"), ("b", "one"), ("b", "two"), ("b", "three"), ("b", "four")];
    Replicas::from_objects(names.map(|(namespace, name)| {
        let mut deployment = deployment(namespace, name, 1);
        if name == "one" {
            deployment.labels = Arc::new(BTreeMap::from([("first".into(), "yes".into())]));
        }
        Object::Deployment(deployment)
    }))
}

/// Every page of a list, with pages of `limit`.
fn pages(replicas: &Replicas, namespace: Option<&str>, selector: &Selector, limit: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = replicas.page(KIND, namespace, after.as_ref(), selector, limit);
        pages.push(page.items.iter().map(|item| format!("{}/{}", item.name.namespace, item.name.name)).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

#[test]
fn a_list_is_in_order_of_namespace_and_name_and_stays_in_its_namespace() {
    let replicas = cluster();
    let everything = Selector::default();
    let all = ["a/one", "a/two", "a-b/one", "b/four", "b/one", "b/three", "b/two"];
    assert_eq!(pages(&replicas, None, &everything, 100), [all.to_vec()]);
    assert_eq!(pages(&replicas, Some("a"), &everything, 100), [["a/one", "a/two"]]);
    assert_eq!(pages(&replicas, Some("none"), &everything, 100), [Vec::<String>::new()]);
}

#[test]
fn pages_hold_each_deployment_once_and_the_last_one_says_so() {
    let replicas = cluster();
    let everything = Selector::default();
    let all: Vec<_> = pages(&replicas, None, &everything, 100).concat();
    for limit in 1..=8 {
        let pages = pages(&replicas, None, &everything, limit);
        assert_eq!(pages.concat(), all, "pages of {limit}");
        assert_eq!(pages.len(), all.len().div_ceil(limit), "pages of {limit}: no empty page at the end");
    }
}

#[test]
fn a_selector_chooses_by_label() {
    let replicas = cluster();
    let first = Selector::from(Expression::Equal("first".into(), "yes".into()));
    assert_eq!(pages(&replicas, None, &first, 2), [vec!["a/one", "a-b/one"], vec!["b/one"]]);
}

#[test]
fn a_position_outside_the_namespace_brings_nothing_from_others() {
    let replicas = cluster();
    let everything = Selector::default();
    let names = |after: &WorkloadRef| {
        let page = replicas.page(KIND, Some("b"), Some(after), &everything, 100);
        page.items.iter().map(|item| format!("{}/{}", item.name.namespace, item.name.name)).collect::<Vec<_>>()
    };
    assert_eq!(names(&name("a", "two")), ["b/four", "b/one", "b/three", "b/two"]);
    assert_eq!(names(&name("b", "one")), ["b/three", "b/two"]);
    assert_eq!(names(&name("c", "x")), Vec::<String>::new());
}

#[test]
fn a_deployment_deleted_between_pages_does_not_stop_the_list() {
    let replicas = cluster();
    let page = replicas.page(KIND, Some("b"), None, &Selector::default(), 1);
    let after = page.next.unwrap();
    replicas.delete_deployment(&after);
    let rest = replicas.page(KIND, Some("b"), Some(&after), &Selector::default(), 100);
    let rest: Vec<_> = rest.items.iter().map(|item| format!("{}/{}", item.name.namespace, item.name.name)).collect();
    assert_eq!(rest, ["b/one", "b/three", "b/two"]);
}

#[test]
fn a_list_longer_than_one_scan_is_complete() {
    let count = 2 * SCAN + 7;
    let deployments = (0..count).map(|n| Object::Deployment(deployment("a", &format!("d{n:05}"), 1)));
    let replicas = Replicas::from_objects(deployments);
    let sizes =
        |selector: &Selector| pages(&replicas, None, selector, usize::MAX).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&Selector::default()), [SCAN, SCAN, 7]);
    assert_eq!(sizes(&Selector::from(Expression::Exists("absent".into()))), [0, 0, 0]);
}

#[test]
fn an_observation_brings_together_what_is_known_about_a_name() {
    let web = name("demo", "web");
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let replicas = Replicas::from_objects([
        Object::Deployment(deployment("demo", "web", 3)),
        Object::Target(Box::new(target("demo", "web", 4))),
        Object::Namespace { name: "demo".into(), labels: labels.clone() },
        autoscaler(&web, "second"),
        autoscaler(&web, "first"),
        autoscaler(&name("demo", "other"), "elsewhere"),
    ]);
    let seen = replicas.observe(&web);
    assert_eq!(seen.workload.as_ref().map(|deployment| deployment.replicas), Some(3));
    assert_eq!(seen.target.as_ref().map(|target| target.spec.replicas), Some(4));
    assert_eq!(seen.autoscalers.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(seen.namespace_labels.as_deref(), Some(&labels));
    assert_eq!(seen.age, Duration::ZERO);
    assert!(matches!(seen.version(), Some(Version::Target { generation: 1, .. })));
    assert_eq!(replicas.targets(), [web]);

    let unknown = replicas.observe(&name("nowhere", "web"));
    assert!(unknown.workload.is_none() && unknown.namespace_labels.is_none() && unknown.autoscalers.is_empty());
    assert!(unknown.version().is_none());
}

#[test]
fn an_observation_costs_no_more_the_more_autoscalers_a_workload_has() {
    let web = name("demo", "web");
    let replicas = Replicas::from_objects((0..5_000).map(|number| autoscaler(&web, &format!("scaler-{number:04}"))));
    let seen = replicas.observe(&web).autoscalers;
    assert_eq!(seen.len(), MOST_AUTOSCALERS);
    assert_eq!(seen.first().map(|first| first.name.as_str()), Some("scaler-0000"));
}

#[test]
fn an_event_of_an_autoscaler_costs_no_more_the_more_there_are_in_its_namespace() {
    let numbered = |number: usize, max: i32| {
        let name = number.to_string();
        let autoscaler = Autoscaler::new(name.clone(), 1, max);
        Object::Autoscaler { of: WorkloadRef::deployment("a", name), autoscaler }
    };
    let events = |autoscalers| {
        let replicas = Replicas::from_objects((0..autoscalers).map(|number| numbered(number, 5)));
        cpu::time(|| (0..50).for_each(|number| replicas.put(numbered(number, 6))))
    };
    cpu::assert_hardly_grows(|| events(50), || events(5_000));
}

#[tokio::test(start_paused = true)]
async fn an_observation_is_as_old_as_the_lost_contact() {
    let replicas = cluster();
    replicas.lose_contact();
    tokio::time::advance(Duration::from_secs(7)).await;
    assert_eq!(replicas.observe(&name("a", "one")).age, Duration::from_secs(7));
    assert_eq!(replicas.monitor().contact().age(), Duration::from_secs(7));
}

#[tokio::test]
async fn an_autoscaler_that_turns_to_another_deployment_changes_both() {
    let (web, api) = (name("demo", "web"), name("demo", "api"));
    let replicas = Replicas::from_objects([autoscaler(&web, "scaler")]);
    let mut changes = replicas.subscribe();

    replicas.put(autoscaler(&api, "scaler"));
    assert_eq!(
        [changes.next().await, changes.next().await],
        [CacheChange::One(api.clone()), CacheChange::One(web.clone())]
    );
    assert_eq!(replicas.observe(&web).autoscalers.len(), 0);
    assert_eq!(replicas.observe(&api).autoscalers.len(), 1);

    replicas.0.put::<AutoscalerKind>(&object("demo", "scaler"), None);
    assert_eq!(changes.next().await, CacheChange::One(api.clone()));
    assert_eq!(replicas.observe(&api).autoscalers.len(), 0);
}

#[tokio::test]
async fn a_feed_is_told_of_no_version_that_looks_as_the_one_before() {
    let web = name("demo", "web");
    let before = deployment("demo", "web", 3);
    let replicas = Replicas::from_objects([Object::Deployment(before.clone())]);
    let feed = replicas.feed(Topic::Workload(web.clone()));
    let newer = Workload { resource_version: "newer".to_owned(), generation: before.generation + 1, ..before };
    replicas.put(Object::Deployment(newer.clone()));
    assert!(feed.changed().now_or_never().is_none());
    assert_eq!(replicas.observe(&web).workload.as_deref(), Some(&newer), "others see it");
    replicas.put(Object::Deployment(Workload {
        ready: newer.ready + 1,
        resource_version: "newest".to_owned(),
        ..newer
    }));
    assert!(feed.changed().now_or_never().is_some());
    replicas.delete_deployment(&web);
    assert!(feed.changed().now_or_never().is_some());
}

#[tokio::test]
async fn nobody_is_told_of_an_object_that_is_as_it_was() {
    let web = name("demo", "web");
    let deployment = deployment("demo", "web", 3);
    let replicas = Replicas::from_objects([Object::Deployment(deployment.clone()), autoscaler(&web, "scaler")]);
    let mut changes = replicas.subscribe();
    replicas.put(Object::Deployment(deployment.clone()));
    replicas.put(autoscaler(&web, "scaler"));
    replicas.0.put::<AutoscalerKind>(&object("demo", "absent"), None);
    // Another version of the same count: it may have been another in between.
    replicas.put(Object::Deployment(Workload { resource_version: "newer".to_owned(), ..deployment }));
    assert_eq!(changes.next().await, CacheChange::One(web));
    replicas.put(autoscaler(&name("demo", "api"), "other"));
    assert_eq!(changes.next().await, CacheChange::One(name("demo", "api")));
}

#[tokio::test]
async fn a_deleted_target_is_forgotten_and_told() {
    let web = name("demo", "web");
    let replicas = Replicas::from_objects([Object::Target(Box::new(target("demo", "web", 4)))]);
    let mut changes = replicas.subscribe();
    replicas.delete_target(&web);
    assert_eq!(changes.next().await, CacheChange::One(web.clone()));
    assert!(replicas.observe(&web).target.is_none() && replicas.targets().is_empty());
}

#[test]
fn a_relist_of_autoscalers_indexes_them_anew() {
    let (web, api) = (name("demo", "web"), name("demo", "api"));
    let replicas = Replicas::from_objects([autoscaler(&web, "old")]);
    let scaling = Scaling { workload: api.clone(), autoscaler: Arc::new(Autoscaler::new("new", 1, 2)) };
    let listed = BTreeMap::from([(object("demo", "new"), Arc::new(scaling))]);
    replicas.0.replace::<AutoscalerKind>(&Scope::cluster(), listed, &BTreeSet::new());
    assert!(replicas.observe(&web).autoscalers.is_empty());
    assert_eq!(replicas.observe(&api).autoscalers.len(), 1);
}

#[test]
fn a_relist_of_a_namespace_forgets_what_is_gone_there_and_nothing_else() {
    let replicas = cluster();
    let listed = BTreeMap::from([(object("a", "new"), Arc::new(deployment("a", "new", 1)))]);
    let undecodable = BTreeSet::from([object("a", "two"), object("b", "one")]);
    replicas.0.replace::<DeploymentKind>(&Scope::namespace("a"), listed, &undecodable);
    let all = ["a/new", "a/two", "a-b/one", "b/four", "b/one", "b/three", "b/two"];
    assert_eq!(pages(&replicas, None, &Selector::default(), 100), [all.to_vec()]);
}

#[test]
fn a_relist_keeps_the_objects_that_did_not_change() {
    let replicas = cluster();
    let kept = |names: [&str; 2]| names.map(|one| replicas.observe(&name("a", one)).workload.unwrap());
    let [one, two] = kept(["one", "two"]);
    let items = vec![(object("a", "one"), Workload::clone(&one)), (object("a", "two"), deployment("a", "two", 2))];
    let listed = replicas.0.known::<DeploymentKind>(items).into_iter().collect();
    replicas.0.replace::<DeploymentKind>(&Scope::namespace("a"), listed, &BTreeSet::new());
    let [one_again, other_two] = kept(["one", "two"]);
    assert!(Arc::ptr_eq(&one, &one_again), "an equal object is the one that was there");
    assert_eq!((two.replicas, other_two.replicas), (1, 2));
}

#[test]
fn a_relist_of_a_namespaces_autoscalers_indexes_that_namespace_anew() {
    let (here, gone, elsewhere) = (name("a", "one"), name("a", "two"), name("b", "one"));
    let replicas = Replicas::from_objects([autoscaler(&gone, "old"), autoscaler(&elsewhere, "stays")]);
    let scaling = Scaling { workload: here.clone(), autoscaler: Arc::new(Autoscaler::new("new", 1, 2)) };
    let listed = BTreeMap::from([(object("a", "new"), Arc::new(scaling))]);
    replicas.0.replace::<AutoscalerKind>(&Scope::namespace("a"), listed, &BTreeSet::new());
    let count = |name| replicas.observe(name).autoscalers.len();
    assert_eq!((count(&here), count(&gone), count(&elsewhere)), (1, 0, 1));
}

#[tokio::test]
async fn a_subscriber_that_lags_behind_is_told_to_look_at_everything() {
    let replicas = cluster();
    let mut changes = replicas.subscribe();
    for count in (0..).take(BACKLOG + 1) {
        replicas.put(Object::Deployment(deployment("a", "one", 100 + count)));
    }
    assert_eq!(changes.next().await, CacheChange::All);
    replicas.put(Object::Deployment(deployment("b", "one", 200)));
    assert_eq!(changes.next().await, CacheChange::One(name("b", "one")), "then single changes again");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_state_gets_it_whatever_else_changes() {
    let replicas = cluster();
    let waiting = {
        let replicas = replicas.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + Duration::from_secs(5);
            let wanted = |seen: &Observation| seen.workload.as_ref().is_some_and(|d| d.replicas == 9);
            replicas.wait_until(&name("a", "one"), deadline, wanted).await
        })
    };
    for count in 1..=9 {
        replicas.put(Object::Deployment(deployment("a", "two", count)));
        replicas.put(Object::Deployment(deployment("a", "one", count)));
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap().unwrap().workload.unwrap().replicas, 9);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_holds_already_is_not_waited_for() {
    let replicas = cluster();
    let seen = replicas.wait_until(&name("a", "one"), Instant::now(), |seen| seen.workload.is_some()).await;
    assert!(seen.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_the_deadline_with_the_last_state() {
    let replicas = cluster();
    let deadline = Instant::now() + Duration::from_secs(5);
    let timed_out = replicas.wait_until(&name("a", "one"), deadline, |seen| seen.target.is_some()).await.unwrap_err();
    assert!(timed_out.last.workload.is_some());
    assert_eq!(Instant::now(), deadline);
}
