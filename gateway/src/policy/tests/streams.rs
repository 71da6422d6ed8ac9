//! Streams: what is shown, how much of it, and what there is no verdict on.

use futures::FutureExt;

use super::*;
use crate::policy::{Change, Policy, Selection, WatchError, Watching};
use crate::replicas::fixtures::{Object, deployment};
use crate::replicas::{Replicas, Workload};
use crate::workload::{WorkloadKind, WorkloadRef};

fn named(number: usize) -> Object {
    Object::Deployment(deployment("demo", &format!("{number:05}"), 1))
}

/// A policy that allows everything, about a cluster with so many Deployments.
fn policy(deployments: usize) -> (Policy, Replicas) {
    let replicas = Replicas::from_objects((0..deployments).map(named));
    let evaluator = evaluator(&[giving("a", r#"{"allow":true,"reasons":[]}"#)]);
    (Policy { evaluator, replicas: replicas.clone() }, replicas)
}

fn all() -> Selection {
    Selection::Many {
        kind: WorkloadKind::Deployment,
        namespace: Some("demo".to_owned()),
        selector: kube::core::Selector::default(),
    }
}

/// What is there to show: the names, with a `-` before those that are gone, and how many are undecided.
fn shown(watching: &mut Watching) -> Vec<String> {
    let changes = std::iter::from_fn(|| watching.ready());
    changes
        .map(|change| match change {
            Change::Shown(permit) => permit.observation().name.name.clone(),
            Change::Gone(name) => format!("-{}", name.name),
            Change::Synced { undecided } => format!("synced {undecided}"),
        })
        .collect()
}

#[tokio::test]
async fn a_stream_follows_a_thousand_workloads_and_no_more() {
    let (policy, replicas) = policy(1_000);
    let mut watching = policy.watch(&caller(), all()).await.unwrap();
    assert_eq!(shown(&mut watching).len(), 1_001);
    replicas.put(named(1_000));
    let changed = watching.changed().await;
    assert!(matches!(watching.look(changed).await, Err(WatchError::TooMany)));
    assert!(matches!(policy.watch(&caller(), all()).await, Err(WatchError::TooMany)));
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_verdict_on_is_hidden_and_decided_again() {
    let (policy, replicas) = policy(2);
    let mut watching = policy.watch(&caller(), all()).await.unwrap();
    assert_eq!(shown(&mut watching), ["00000", "00001", "synced 0"]);
    let dropped = || Workload { metadata_dropped: true, ..deployment("demo", "00000", 2) };
    replicas.put(Object::Deployment(dropped()));
    let changed = watching.changed().await;
    watching.look(changed).await.unwrap();
    assert_eq!(shown(&mut watching), ["-00000"]);
    // Nothing changes, and it is asked again all the same.
    let again = watching.changed().await;
    watching.look(again).await.unwrap();
    assert_eq!(shown(&mut watching), [""; 0]);
    replicas.put(named(0));
    let changed = watching.changed().await;
    watching.look(changed).await.unwrap();
    assert_eq!(shown(&mut watching), ["00000"]);
}

#[tokio::test]
async fn a_relist_shows_what_changed_and_hides_what_is_gone() {
    let (policy, replicas) = policy(3);
    let mut watching = policy.watch(&caller(), all()).await.unwrap();
    shown(&mut watching);
    replicas.delete_deployment(&WorkloadRef::deployment("demo", "00001"));
    replicas.put(Object::Deployment(deployment("demo", "00002", 7)));
    drop(watching.changed().await);
    watching.look(crate::replicas::Changed::All).await.unwrap();
    assert_eq!(shown(&mut watching), ["00002", "-00001", "synced 0"]);
}

#[tokio::test]
async fn many_workloads_without_a_verdict_keep_no_stream_from_the_others() {
    let (policy, replicas) = policy(40);
    let dropped = |number: usize, replicas| {
        let workload = deployment("demo", &format!("{number:05}"), replicas);
        Object::Deployment(Workload { metadata_dropped: true, ..workload })
    };
    (0..40).for_each(|number| replicas.put(dropped(number, 1)));
    replicas.put(named(40));
    let mut watching = policy.watch(&caller(), all()).await.unwrap();
    assert_eq!(shown(&mut watching), ["00040", "synced 40"]);
    (0..40).for_each(|number| replicas.put(dropped(number, 2)));
    replicas.put(named(41));
    // On a busy machine it may first be time to decide again about those without a verdict.
    let next = loop {
        let changed = watching.changed().await;
        watching.look(changed).await.unwrap();
        let next = shown(&mut watching);
        if !next.is_empty() {
            break next;
        }
    };
    assert_eq!(next, ["00041"]);
}

#[tokio::test]
async fn what_one_stream_has_asked_no_other_asks_again() {
    let (policy, replicas) = policy(1);
    let policy =
        Policy { evaluator: evaluator_keeping(1 << 20, &[giving("a", r#"{"allow":true,"reasons":[]}"#)]), ..policy };
    let caller = caller();
    let mut first = policy.watch(&caller, all()).await.unwrap();
    let mut second = policy.watch(&caller, all()).await.unwrap();
    shown(&mut first);
    shown(&mut second);
    replicas.put(Object::Deployment(deployment("demo", "00000", 5)));
    let changed = first.changed().await;
    first.look(changed).await.unwrap();
    assert_eq!(shown(&mut first), ["00000"]);
    let changed = second.changed().await;
    // Without a pause: it waits for no turn.
    second.look(changed).now_or_never().unwrap().unwrap();
    assert_eq!(shown(&mut second), ["00000"]);
}
