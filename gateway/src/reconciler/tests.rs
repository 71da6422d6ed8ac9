//! The whole reconciler against a faked API server; the cache is fed by hand, as late as a test likes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod cluster;

use std::time::Duration;

use http::Method;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::time::sleep;

use crate::kubernetes::testing::store::Fault;
use crate::replicas::fixtures::Object;
use crate::replicas::{Autoscaler, ReplicasMetrics, ReplicasSettings};
use crate::workload::WorkloadRef;

use super::*;

use self::cluster::{Cluster, DEPLOYMENT, LEASE, TARGET};

async fn after(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_becomes_one_scale_one_status_and_one_event() {
    let cluster = Cluster::new(3);
    let reconciler = cluster.start("a");
    after(100).await;
    let decided_on = cluster.api.object(DEPLOYMENT).unwrap()["metadata"].clone();
    cluster.request(6, 1);
    after(100).await;

    let [(method, code, scale)] = &cluster.writes("/scale")[..] else { unreachable!("one scale") };
    assert_eq!((method, *code), (&Method::PUT, 200));
    assert_eq!(scale["spec"], json!({ "replicas": 6 }));
    for field in ["resourceVersion", "uid"] {
        assert_eq!(scale["metadata"][field], decided_on[field]);
    }
    assert_eq!(cluster.codes("/status"), [200]);
    let [(_, 200, event)] = &cluster.writes("/events")[..] else { unreachable!("one event") };
    assert_eq!(event["reason"], "Scaled");
    assert_eq!(event["regarding"]["kind"], "Deployment");

    cluster.bring_target();
    cluster.bring_deployment();
    after(1000).await;
    assert_eq!(cluster.codes("/scale").len(), 1);
    assert_eq!(cluster.target().status.unwrap().history.len(), 1);
    assert!(reconciler.metrics().contains("scales_total{cause=\"change\"} 1"), "{}", reconciler.metrics());
    assert!(reconciler.metrics().contains("leader 1"), "{}", reconciler.metrics());
}

#[tokio::test(start_paused = true)]
async fn while_the_cache_is_behind_its_own_writes_nothing_is_written_again() {
    for first in [Cluster::bring_target, Cluster::bring_deployment] {
        let cluster = Cluster::new(3);
        let _reconciler = cluster.start("a");
        cluster.request(6, 1);
        after(3000).await;
        first(&cluster);
        after(3000).await;
        assert_eq!((cluster.codes("/scale"), cluster.codes("/status")), (vec![200], vec![200]));
        cluster.bring_target();
        cluster.bring_deployment();
        after(3000).await;
        assert_eq!(cluster.codes("/scale"), [200]);
        assert_eq!(cluster.target().status.unwrap().history.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_no_error_and_the_newer_state_is_planned_anew() {
    let cluster = Cluster::new(3);
    let reconciler = cluster.start("a");
    after(100).await;
    let mut workload = cluster.api.object(DEPLOYMENT).unwrap();
    workload["spec"]["replicas"] = json!(4);
    cluster.api.store(DEPLOYMENT, &workload);
    cluster.request(6, 1);
    after(100).await;
    assert_eq!(cluster.codes("/scale"), [409]);
    assert!(cluster.codes("/status").is_empty(), "a status never claims what was not written");
    cluster.bring_deployment();
    after(100).await;
    assert_eq!(cluster.codes("/scale"), [409, 200]);
    let history = cluster.target().status.unwrap().history;
    assert_eq!(history.iter().map(|change| (change.from, change.to)).collect::<Vec<_>>(), [(4, 6)]);
    let metrics = reconciler.metrics();
    let mut errors = metrics.lines().filter(|line| line.starts_with("reconcile_errors_total{")).peekable();
    assert!(errors.peek().is_some() && errors.all(|line| line.ends_with(" 0")), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_changes_between_scale_and_status_loses_no_history() {
    let cluster = Cluster::new(3);
    let _reconciler = cluster.start("a");
    after(100).await;
    // The second request is stored, but not seen, when the first is carried out.
    cluster.request(6, 1);
    let mut newer = cluster.target();
    newer.spec.replicas = 8;
    newer.spec.decision_id = Some("d-2".to_owned());
    newer.metadata.generation = Some(2);
    cluster.api.store(TARGET, &newer);
    after(100).await;
    assert_eq!((cluster.spec_replicas(), cluster.codes("/status")), (6, vec![409]));
    cluster.bring_target();
    cluster.bring_deployment();
    after(1000).await;
    assert_eq!(cluster.spec_replicas(), 8);
    let history = cluster.target().status.unwrap().history;
    let history: Vec<_> =
        history.iter().map(|change| (change.from, change.to, change.decision_id.as_deref())).collect();
    assert_eq!(history, [(3, 6, Some("d-1")), (6, 8, Some("d-2"))]);
}

#[tokio::test(start_paused = true)]
async fn drift_is_corrected_and_a_fight_slowed_down() {
    let cluster = Cluster::new(3);
    let reconciler = cluster.start("a");
    cluster.request(6, 1);
    for _ in 0..40 {
        after(100).await;
        cluster.bring_target();
        cluster.bring_deployment();
        after(100).await;
        cluster.drift(2);
    }
    let corrections = cluster.codes("/scale").iter().filter(|code| **code == 200).count() - 1;
    assert!((3..=5).contains(&corrections), "{corrections} in eight seconds");
    assert!(reconciler.metrics().contains("scales_total{cause=\"drift\"}"));
    let conditions = cluster.target().status.unwrap().conditions;
    assert_eq!(conditions::status(&conditions, conditions::CONTENDED).unwrap().status, "True");
}

#[tokio::test(start_paused = true)]
async fn a_count_that_changes_every_minute_is_contended_until_its_target_is_released() {
    let cluster = Cluster::new(2);
    let reconciler = cluster.start("a");
    cluster.request(2, 1);
    // What is found before a target was applied is no drift.
    after(1000).await;
    cluster.bring_target();
    for _ in 0..6 {
        cluster.drift(0);
        for _ in 0..61 {
            after(1000).await;
            cluster.bring_target();
            cluster.bring_deployment();
        }
    }
    assert_eq!(cluster.codes("/scale"), [200; 4], "the fourth waits for two minutes, a fifth for four");
    let conditions = cluster.target().status.unwrap().conditions;
    assert_eq!(conditions::status(&conditions, conditions::CONTENDED).unwrap().status, "True");
    assert!(reconciler.metrics().contains("contended_targets 1"), "{}", reconciler.metrics());

    cluster.api.delete(TARGET);
    cluster.replicas.delete_target(&WorkloadRef::deployment("demo", "web"));
    after(1000).await;
    assert!(reconciler.metrics().contains("contended_targets 0"), "{}", reconciler.metrics());
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_beside_a_target_is_left_alone() {
    let cluster = Cluster::new(3);
    let autoscaler = Autoscaler::new("web", 1, 5);
    cluster.replicas.put(Object::Autoscaler { of: WorkloadRef::deployment("demo", "web"), autoscaler });
    let reconciler = cluster.start("a");
    cluster.request(6, 1);
    after(1000).await;
    assert_eq!((cluster.codes("/scale"), cluster.codes("/status")), (vec![], vec![200]));
    assert!(reconciler.metrics().contains("contended_targets 1"), "{}", reconciler.metrics());
    reconciler.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_scale_is_told_in_the_status_and_tried_again_after_rests() {
    let cluster = Cluster::new(3);
    let reconciler = cluster.start("a");
    cluster.api.set_faults(|_, path| path.ends_with("/scale").then_some(Fault::Answer(403)));
    cluster.request(6, 1);
    after(100).await;
    cluster.bring_target();
    let conditions = cluster.target().status.unwrap().conditions;
    assert_eq!(conditions::status(&conditions, conditions::SYNCED).unwrap().reason, "ScaleRejected");
    after(10_000).await;
    let tries = cluster.codes("/scale").len();
    assert!((4..=7).contains(&tries), "{tries} in ten seconds");
    assert_eq!(cluster.codes("/status"), [200], "the refusal is told once");
    assert!(reconciler.metrics().contains("reconcile_errors_total{reason=\"refused\"}"));

    cluster.api.set_faults(|_, _| None);
    after(30_000).await;
    assert_eq!(cluster.spec_replicas(), 6);
    assert_eq!(cluster.target().status.unwrap().history.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_set_anew_does_not_rest_for_the_failures_of_the_one_before() {
    let cluster = Cluster::new(3);
    let _reconciler = cluster.start("a");
    cluster.api.set_faults(|_, path| path.ends_with("/scale").then_some(Fault::Answer(403)));
    cluster.request(6, 1);
    after(100).await;
    cluster.bring_target();
    after(20_000).await;
    let tries = cluster.codes("/scale").len();
    after(1000).await;
    assert_eq!(cluster.codes("/scale").len(), tries, "it does not rest");
    cluster.api.set_faults(|_, _| None);
    cluster.request(8, 2);
    after(100).await;
    assert_eq!(cluster.spec_replicas(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_written_stops_nothing() {
    let cluster = Cluster::new(3);
    let _reconciler = cluster.start("a");
    cluster.api.set_faults(|_, path| path.ends_with("/events").then_some(Fault::Answer(403)));
    cluster.request(6, 1);
    after(100).await;
    assert_eq!((cluster.codes("/scale"), cluster.codes("/status")), (vec![200], vec![200]));
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes_and_the_next_one_finishes_what_it_left() {
    let cluster = Cluster::new(3);
    let leader = cluster.start("a");
    after(100).await;
    let follower = cluster.start("b");
    after(5000).await;
    assert!(leader.leadership.borrow().is_leader() && !follower.leadership.borrow().is_leader());
    // Killed between the write of the scale and that of the status.
    cluster.api.set_faults(|_, path| path.ends_with("/status").then_some(Fault::Hang));
    cluster.request(6, 1);
    after(100).await;
    assert_eq!(cluster.codes("/scale"), [200]);
    leader.task.abort();
    cluster.api.set_faults(|_, _| None);
    cluster.bring_deployment();
    after(20_000).await;
    assert!(follower.leadership.borrow().is_leader());
    assert_eq!((cluster.codes("/scale"), cluster.codes("/status")), (vec![200], vec![200]));
    assert_eq!(cluster.target().status.unwrap().observed_generation, Some(1));
}

#[tokio::test(start_paused = true)]
async fn work_that_was_begun_is_ended_before_the_lease_is_released() {
    let cluster = Cluster::new(3);
    let reconciler = cluster.start("a");
    after(100).await;
    cluster.request(6, 1);
    // The request is in the cache, but the worker has not run since.
    tokio::task::yield_now().await;
    let mut leadership = reconciler.leadership.clone();
    reconciler.stop().await;
    assert!(!leadership.borrow_and_update().is_leader());
    assert_eq!(cluster.api.object(LEASE).unwrap()["spec"]["holderIdentity"], "");
    let last = cluster.api.writes().last().unwrap().clone();
    assert_eq!(last.path, LEASE, "nothing is written once the lease is released");
    let (scales, statuses) = (cluster.codes("/scale").len(), cluster.codes("/status").len());
    assert_eq!(scales, statuses, "no scale without its status");
}

#[tokio::test(start_paused = true)]
async fn a_released_target_leaves_the_count_alone() {
    let cluster = Cluster::new(3);
    let _reconciler = cluster.start("a");
    cluster.request(6, 1);
    after(100).await;
    cluster.bring_deployment();
    cluster.api.delete(TARGET);
    cluster.replicas.delete_target(&WorkloadRef::deployment("demo", "web"));
    cluster.drift(2);
    after(400_000).await;
    assert_eq!(cluster.spec_replicas(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_knows_nothing_of_the_cluster_does_not_stand_for_election() {
    let mut cluster = Cluster::new(3);
    let metrics = ReplicasMetrics::register(&mut Registry::default());
    let (unsynced, _never_driven) = Replicas::new(ReplicasSettings::default(), cluster.api.client(), &metrics);
    cluster.replicas = unsynced;
    let reconciler = cluster.start("a");
    after(60_000).await;
    assert_eq!(cluster.api.object(LEASE), None);
    reconciler.stop().await;
}
