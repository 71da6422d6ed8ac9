#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod properties;
mod world;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;
use crate::replicas::{Maker, Obstacle};

use self::world::World;

fn are(expected: [(bool, &str); 4]) -> [(bool, String); 4] {
    expected.map(|(holds, reason)| (holds, reason.to_owned()))
}

#[test]
fn a_new_target_is_applied_with_the_version_that_was_decided_on() {
    let mut world = World::new(3, 6);
    let scale = world.act().scale.unwrap();
    let workload = world.workload.as_ref().unwrap();
    assert_eq!((scale.resource_version, scale.uid), (workload.resource_version.clone(), workload.uid.clone()));
    assert_eq!((scale.cause, scale.change.from, scale.change.to), (Cause::Change, 3, 6));
    assert_eq!(world.history(), [(3, 6, Some("d-1"), Some("launch"))]);
    assert_eq!(
        world.conditions(),
        are([(false, "Progressing"), (true, "Found"), (true, "Synced"), (false, "Uncontended")])
    );
    let status = world.target.status.as_ref().unwrap();
    assert_eq!((status.observed_generation, status.replicas, status.ready_replicas), (Some(1), Some(6), Some(3)));
    assert_eq!(status.selector.as_deref(), Some("app=web"));
}

#[test]
fn the_event_of_a_change_names_who_from_to_and_why() {
    let event = World::new(3, 6).plan().event.unwrap();
    assert_eq!((event.kind, event.reason), ("Normal", "Scaled"));
    for part in ["from 3 to 6", "uri:spiffe://example.org/ci", "launch", "d-1"] {
        assert!(event.message.contains(part), "{part}: {}", event.message);
    }
}

#[test]
fn ready_is_told_apart_from_applied() {
    for (rollout, ready, expected) in [
        (Rollout::Complete, 6, (true, "Ready")),
        (Rollout::Complete, 5, (false, "Progressing")),
        (Rollout::Progressing, 6, (false, "Progressing")),
        (Rollout::Failed, 6, (false, "ProgressDeadlineExceeded")),
        (Rollout::Paused, 6, (false, "Paused")),
    ] {
        let mut world = World::settled(6);
        let workload = world.workload.as_mut().unwrap();
        (workload.rollout, workload.ready) = (rollout, ready);
        assert_eq!(world.act().scale, None);
        let [(holds, reason), _, (synced, _), _] = world.conditions();
        assert_eq!(((holds, reason.as_str()), synced), (expected, true), "{rollout:?} {ready}");
    }
}

#[test]
fn ready_says_what_keeps_replicas_from_being_ready() {
    let mut world = World::settled(4);
    let workload = world.workload.as_mut().unwrap();
    let message = "pods \"web\" is forbidden: exceeded quota: few".to_owned();
    workload.obstacle = Some(Obstacle { reason: "FailedCreate".to_owned(), message });
    (workload.rollout, workload.ready) = (Rollout::Progressing, 2);
    world.act();
    let ready = world.condition("Ready");
    assert_eq!(ready.message, "2 of 4 replicas are ready: pods \"web\" is forbidden: exceeded quota: few");

    world.roll_out();
    world.act();
    assert_eq!(world.condition("Ready").message, "4 of 4 replicas are ready");
}

#[test]
fn a_target_of_the_present_count_writes_no_scale_and_no_history() {
    let mut world = World::new(6, 6);
    let plan = world.act();
    assert_eq!((plan.scale, plan.event), (None, None));
    assert_eq!(world.history(), []);
    assert_eq!(world.conditions(), are([(true, "Ready"), (true, "Found"), (true, "Synced"), (false, "Uncontended")]));
}

#[test]
fn zero_is_a_count_like_others() {
    let mut world = World::settled(0);
    assert_eq!(world.condition("Ready").status, "True");
    world.request(2, "d-2");
    assert_eq!(world.act().scale.unwrap().change.to, 2);
}

#[test]
fn without_the_deployment_nothing_is_written_but_the_status() {
    let mut world = World::new(3, 6);
    world.workload = None;
    let plan = world.act();
    assert_eq!((plan.scale, plan.event), (None, None));
    assert_eq!(
        world.conditions(),
        are([
            (false, "NotSynced"),
            (false, "DeploymentNotFound"),
            (false, "DeploymentNotFound"),
            (false, "Uncontended")
        ])
    );
    assert_eq!(world.target.status.as_ref().unwrap().replicas, None);
}

#[test]
fn a_deployment_that_was_made_anew_is_refused() {
    let mut world = World::new(3, 6);
    let owner = |uid: &str| OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
        uid: uid.to_owned(),
        ..OwnerReference::default()
    };
    world.target.metadata.owner_references = Some(vec![owner("gone")]);
    assert_eq!(world.act().scale, None);
    let found = world.condition("TargetFound");
    assert_eq!((found.status.as_str(), found.reason.as_str()), ("False", "UidMismatch"));

    let uid = world.workload.as_ref().unwrap().uid.clone();
    world.target.metadata.owner_references = Some(vec![owner("gone"), owner(&uid)]);
    let scale = world.act().scale.unwrap();
    assert_eq!(scale.cause, Cause::Change, "the decision was never applied before");
}

#[test]
fn an_autoscaler_is_never_fought() {
    for (replicas, wanted) in [(3, 6), (6, 6), (0, 1)] {
        let mut world = World::new(replicas, wanted);
        world.autoscale();
        let plan = world.act();
        assert_eq!(plan.scale, None);
        assert_eq!(plan.event.unwrap().reason, "Contended");
        assert_eq!(
            world.conditions(),
            are([(false, "NotSynced"), (true, "Found"), (false, "AutoscalerPresent"), (true, "AutoscalerPresent")])
        );
        world.pass(1);
        assert_eq!(world.plan(), Plan::default(), "the event is told once");
    }
}

#[test]
fn the_conditions_say_what_to_change_instead_of_the_count_of_an_autoscaler() {
    let made_by_keda = Autoscaler { maker: Some(Maker::scaled_object("web")), ..Autoscaler::new("keda-hpa-web", 1, 9) };
    for (autoscaler, replicas, owner, advice) in [
        (Autoscaler::new("web", 2, 9), 3, "HorizontalPodAutoscaler web", "change its minimum and maximum instead"),
        (Autoscaler::new("web", 2, 9), 0, "HorizontalPodAutoscaler web", "it is off while there are 0 replicas"),
        (made_by_keda, 3, "ScaledObject web (through HorizontalPodAutoscaler keda-hpa-web)", "its minReplicaCount"),
    ] {
        let mut world = World::new(replicas, 6);
        world.autoscalers = vec![Arc::new(autoscaler)];
        assert_eq!(world.act().scale, None);
        for kind in ["Synced", "Contended"] {
            let condition = world.condition(kind);
            assert_eq!(condition.reason, "AutoscalerPresent");
            let message = &condition.message;
            assert!(message.starts_with(&format!("{owner} drives the Deployment")), "{message}");
            assert!(message.contains(advice), "{message}");
        }
    }
}

#[test]
fn a_change_made_beside_an_autoscaler_is_applied_once_that_is_gone() {
    let mut world = World::new(3, 6);
    world.autoscale();
    world.act();
    world.autoscalers.clear();
    assert_eq!(world.act().scale.unwrap().cause, Cause::Change);
    assert_eq!(world.history(), [(3, 6, Some("d-1"), Some("launch"))]);
}

#[test]
fn drift_is_corrected_and_its_manager_named_but_never_put_down_to_the_requester() {
    let mut world = World::settled(6);
    world.drift(2, "kubectl-scale");
    let plan = world.act();
    assert_eq!(plan.scale.unwrap().cause, Cause::Drift);
    let event = plan.event.unwrap();
    assert_eq!((event.kind, event.reason), ("Warning", "DriftCorrected"));
    assert!(event.message.contains("from 2 back to 6") && event.message.contains("kubectl-scale"), "{}", event.message);
    let status = world.target.status.as_ref().unwrap();
    let last = status.history.last().unwrap();
    assert_eq!((last.from, last.to, &last.requested_by, &last.decision_id), (2, 6, &None, &None));
    assert_eq!(last.reason.as_deref(), Some("drift corrected, set by `kubectl-scale`"));
    assert_eq!(world.condition("Contended").status, "False");
}

#[test]
fn drift_by_nobody_known_is_corrected_too() {
    let mut world = World::settled(6);
    for (replicas, reason) in [
        (7, "drift corrected, set by an unknown manager"),
        (0, "drift corrected, set by `kubectl scale` or another client of the scale subresource"),
    ] {
        let workload = world.workload.as_mut().unwrap();
        (workload.replicas, workload.replicas_manager) = (replicas, None);
        assert!(world.act().scale.is_some());
        assert_eq!(world.history().last().unwrap().3, Some(reason));
    }
}

#[test]
fn a_fight_is_named_slowed_down_and_forgotten_once_it_is_over() {
    let mut world = World::settled(6);
    for _ in 0..3 {
        assert_eq!(world.condition("Contended").status, "False");
        world.pass(1);
        world.drift(2, "helm");
        assert!(world.act().scale.is_some(), "the first three are corrected at once");
    }
    let contended = world.condition("Contended");
    assert_eq!((contended.status.as_str(), contended.reason.as_str()), ("True", "Contended"));
    assert!(contended.message.contains("`helm`"));
    assert_eq!(world.history().len(), 2, "what repeats does not push out who asked for what");

    world.drift(2, "helm");
    let plan = world.act();
    assert_eq!((plan.scale, plan.requeue_after), (None, Some(Duration::from_secs(2))));
    let synced = world.condition("Synced");
    assert_eq!((synced.status.as_str(), synced.reason.as_str()), ("False", "Contended"));
    world.pass(2);
    assert_eq!(world.act().scale.unwrap().cause, Cause::Drift);

    world.roll_out();
    world.pass(119);
    world.act();
    assert_eq!(world.condition("Contended").status, "True");
    assert_eq!(world.plan().requeue_after, Some(Duration::from_secs(1)));
    world.pass(1);
    let plan = world.act();
    assert_eq!((plan.scale, plan.requeue_after), (None, None));
    assert_eq!(world.condition("Contended").status, "False");
    assert_eq!(world.condition("Ready").status, "True");
}

#[test]
fn a_fight_that_goes_on_for_minutes_is_named_and_slowed_down_too() {
    for interval in [61, 600] {
        let mut world = World::settled(2);
        for _ in 0..3 {
            assert_eq!(world.condition("Contended").status, "False", "every {interval} s");
            world.pass(interval);
            world.drift(0, "kubectl");
            assert!(world.act().scale.is_some());
        }
        let contended = world.condition("Contended");
        assert_eq!((contended.status.as_str(), contended.reason.as_str()), ("True", "Contended"));
        assert!(contended.message.starts_with("`kubectl` keeps setting another count"), "{}", contended.message);
        assert!(contended.message.contains(&format!("waits for {} s", 2 * interval)), "{}", contended.message);

        world.pass(interval);
        world.drift(0, "kubectl");
        let plan = world.act();
        let pause = Duration::from_secs(interval.unsigned_abs());
        assert_eq!((plan.scale, plan.requeue_after), (None, Some(pause)));
        let synced = world.condition("Synced");
        assert_eq!(synced.message, "spec.replicas is 0, wanted 2; `kubectl` set it, and the next correction waits");
        world.pass(interval);
        assert_eq!(world.act().scale.unwrap().cause, Cause::Drift);
    }
}

#[test]
fn two_managers_that_set_a_count_now_and_then_are_no_fight() {
    let mut world = World::settled(2);
    for manager in ["kubectl", "helm", "kubectl", "helm"] {
        world.pass(600);
        world.drift(0, manager);
        assert!(world.act().scale.is_some());
        assert_eq!(world.condition("Contended").status, "False");
    }
}

#[test]
fn a_request_is_applied_at_once_even_in_a_fight() {
    let mut world = World::settled(6);
    for _ in 0..3 {
        world.drift(2, "helm");
        world.act();
    }
    world.drift(2, "helm");
    assert_eq!(world.plan().scale, None);
    world.request(8, "d-2");
    assert_eq!(world.act().scale.unwrap().cause, Cause::Change);
}

#[test]
fn a_condition_keeps_its_time_until_its_status_flips() {
    let mut world = World::settled(6);
    let before = world.condition("Ready").last_transition_time;
    world.pass(10);
    world.request(6, "d-2");
    world.act();
    assert_eq!(world.condition("Ready").last_transition_time, before);
    world.request(7, "d-3");
    world.act();
    assert_eq!(world.condition("Ready").last_transition_time.0, world.now);
    assert_eq!(world.condition("Synced").last_transition_time.0, before.0);
}

#[test]
fn the_history_keeps_the_last_ten_changes() {
    let mut world = World::settled(1);
    for n in 2..20 {
        world.request(n, &format!("d-{n}"));
        world.act();
    }
    let to: Vec<i32> = world.history().iter().map(|change| change.1).collect();
    assert_eq!(to, (10..20).collect::<Vec<_>>());
}

#[test]
fn a_change_whose_status_could_not_be_written_is_recorded_with_the_next_one() {
    let mut world = World::settled(3);
    world.request(6, "d-2");
    let lost = world.plan().scale.unwrap().change;
    world.drift(6, "scalegate");
    world.unrecorded.push(lost);
    world.request(8, "d-3");
    world.act();
    let decisions: Vec<_> = world.history().iter().map(|change| (change.0, change.1, change.2)).collect();
    assert_eq!(decisions[1..], [(3, 6, Some("d-2")), (6, 8, Some("d-3"))]);
}

#[test]
fn a_change_whose_leader_died_before_the_status_is_recorded_by_the_next_leader() {
    let mut world = World::settled(3);
    world.request(6, "d-2");
    world.drift(6, "scalegate");
    assert_eq!(world.act().scale, None);
    assert_eq!(world.history()[1..], [(3, 6, Some("d-2"), Some("launch"))]);
}

#[test]
fn a_count_that_kubectl_set_is_not_put_down_to_the_client_who_asked_for_the_same_later() {
    let mut world = World::settled(3);
    world.drift(6, "kubectl");
    world.request(6, "d-2");
    world.act();
    assert!(world.history()[1..].is_empty(), "{:?}", world.history());
}

#[test]
fn a_refusal_is_told_once_and_the_change_stays_a_change() {
    let mut world = World::new(3, 6);
    let told = |world: &World| {
        let seen = Seen {
            target: &world.target,
            workload: world.workload.as_ref(),
            autoscalers: &[],
            corrections: &world.corrections,
            unrecorded: &[],
            now: world.now,
        };
        rejected(&seen, "exceeded quota")
    };
    world.target.status = Some(told(&world).unwrap());
    let synced = world.condition("Synced");
    assert_eq!((synced.status.as_str(), synced.reason.as_str()), ("False", "ScaleRejected"));
    assert!(synced.message.contains("exceeded quota"));
    assert_eq!(told(&world), None);
    assert_eq!(world.act().scale.unwrap().cause, Cause::Change);
    assert_eq!(world.condition("Synced").status, "True");
}
