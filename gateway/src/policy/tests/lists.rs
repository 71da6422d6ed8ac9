//! Lists: which Deployments a client may see, and where each part ends.

use std::sync::Arc;
use std::time::Duration;

use super::super::testing::Written;
use futures::FutureExt;
use serde_json::json;

use super::*;
use crate::policy::Get;
use crate::policy::list::ListQuery;
use crate::replicas::{Observation, Page, Rollout, Workload};
use crate::workload::{WorkloadKind, WorkloadRef};

fn observed(name: &str) -> Observation {
    let name = WorkloadRef::deployment("demo", name);
    let workload = Workload {
        metadata_dropped: false,
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
        obstacle: None,
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
        let picked = evaluator.pick(&caller(), &query(limit, after), pages(names)).await.unwrap();
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
    let document = serde_json::to_string(&crate::policy::input::document(
        caller().client.client(),
        &Get { target: WorkloadRef::deployment("demo", "00000") },
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
    let picked = evaluator.pick(&caller(), &query(10, None), nothing).await.unwrap();
    assert_eq!((picked.items.len(), looked_at.get()), (0, 10_000));
    assert_eq!(
        picked.next.map(|next| next.name),
        Some("10000".to_owned()),
        "the next page goes on where this one ended"
    );
}

#[tokio::test]
async fn one_item_without_a_verdict_is_counted_and_the_list_goes_on() {
    let (evaluator, recorded) = recorded(&[giving("a", YES)]);
    let names = numbered(10);
    let page = |after: Option<&WorkloadRef>, limit: usize| {
        let mut page = pages(&names)(after, limit);
        for item in page.items.iter_mut().filter(|item| item.name.name == "00004") {
            let workload = Arc::unwrap_or_clone(item.workload.take().unwrap());
            item.workload = Some(Arc::new(Workload { metadata_dropped: true, ..workload }));
        }
        page
    };
    let picked = evaluator.pick(&caller(), &query(100, None), page).await.unwrap();
    assert_eq!((picked.items.len(), picked.undecided.len(), picked.next), (9, 1, None));
    drop(evaluator);
    let record = &recorded.records()[0];
    assert_eq!((&record["outcome"], &record["undecided"]), (&json!("listed"), &json!(1)));
    assert!(record["cause"].as_str().is_some_and(|cause| cause.contains("64 KiB")), "{record}");
}

#[tokio::test]
async fn a_list_whose_request_is_gone_is_on_record() {
    let (evaluator, recorded) = recorded(&[giving("a", YES)]);
    let names = numbered(3);
    let asked = query(10, None);
    // Polled once, it has yielded to other requests.
    assert!(Box::pin(evaluator.pick(&caller(), &asked, pages(&names))).now_or_never().is_none());
    drop(evaluator);
    let record = &recorded.records()[0];
    assert_eq!((&record["kind"], &record["outcome"]), (&json!("list"), &json!("unavailable")));
}

#[tokio::test]
async fn a_part_of_a_list_ends_after_32_items_without_a_verdict() {
    let evaluator = evaluator(&[answering_once_loaded("a", "true")]);
    let names = numbered(100);
    let picked = evaluator.pick(&caller(), &query(100, None), pages(&names)).await.unwrap();
    assert_eq!((picked.items.len(), picked.undecided.len()), (0, 32));
    assert_eq!(picked.next.map(|next| next.name), Some("00031".to_owned()));
}

#[tokio::test]
async fn what_exceeds_what_is_kept_of_an_object_is_decided_by_nobody() {
    let evaluator = evaluator(&[giving("a", YES)]);
    let question = Input { undecidable: Some("too large"), ..input(Action::Get, "demo") };
    let denied = evaluator.decide(&caller(), turn(), asked(question, Effect::Read)).await.unwrap_err();
    assert!(matches!(&denied, Denied::Unavailable { cause, .. } if cause == "too large"), "{denied}");
    // One such Deployment among three keeps no list from the others.
    let names = numbered(3);
    let page = |after: Option<&WorkloadRef>, limit| {
        let mut page = pages(&names)(after, limit);
        for item in page.items.iter_mut().filter(|item| item.name.name == names[1]) {
            Arc::make_mut(item.workload.as_mut().unwrap()).metadata_dropped = true;
        }
        page
    };
    let picked = evaluator.pick(&caller(), &query(10, None), page).await.unwrap();
    assert_eq!((picked.items.len(), picked.undecided.len()), (2, 1));
}
