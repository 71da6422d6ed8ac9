//! What holds in every world.

use super::*;

/// Every combination of small ranges, each also with a past.
fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for (replicas, wanted) in (0..4).flat_map(|replicas| (0..4).map(move |wanted| (replicas, wanted))) {
        for rollout in [Rollout::Complete, Rollout::Progressing, Rollout::Failed, Rollout::Paused] {
            for ready in 0..3 {
                for past in 0..8 {
                    let mut world = World::new(replicas, wanted);
                    let workload = world.workload.as_mut().unwrap();
                    (workload.rollout, workload.ready) = (rollout, ready);
                    put_past(&mut world, past);
                    worlds.push(world);
                }
            }
        }
    }
    worlds
}

fn put_past(world: &mut World, past: u8) {
    match past {
        0 => {}
        1 => world.workload = None,
        2 => world.autoscale(),
        3 => drop(world.act()),
        4 => {
            world.act();
            world.drift(9, "kubectl");
        }
        5 => {
            for _ in 0..4 {
                world.drift(9, "helm");
                world.act();
                world.pass(1);
            }
            world.drift(9, "helm");
        }
        6 => {
            for _ in 0..4 {
                world.drift(9, "kubectl");
                world.act();
                world.pass(600);
            }
        }
        _ => {
            world.act();
            world.unrecorded.push(history::change(&world.target.spec, 1, 2, world.now));
            world.request(3, "d-9");
        }
    }
}

#[test]
fn planning_again_on_what_a_plan_made_yields_nothing() {
    let worlds = worlds();
    assert_eq!(worlds.len(), 4 * 4 * 4 * 3 * 8);
    for mut world in worlds {
        let before = world.clone();
        let first = world.act();
        let again = world.plan();
        let requeue_after = again.requeue_after;
        assert_eq!(again, Plan { requeue_after, ..Plan::default() }, "after {first:#?} on {before:#?}");
    }
}

#[test]
fn no_plan_ever_scales_beside_an_autoscaler_or_to_another_count_than_the_wanted() {
    for mut world in worlds() {
        let wanted = world.target.spec.replicas;
        assert!(world.plan().scale.is_none_or(|scale| scale.change.to == wanted));
        world.autoscale();
        assert_eq!(world.plan().scale, None);
    }
}
