//! A cluster in which plans are executed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::super::*;
use crate::replicas::fixtures;

/// A small cluster: one Deployment, one target, and what the leader remembers.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) target: ReplicaTarget,
    pub(super) workload: Option<Workload>,
    pub(super) autoscalers: Vec<Arc<Autoscaler>>,
    pub(super) corrections: Corrections,
    pub(super) unrecorded: Vec<CountChange>,
    pub(super) now: Timestamp,
}

impl World {
    /// A Deployment that runs `replicas`, and a target made just now that wants `wanted`.
    pub(super) fn new(replicas: i32, wanted: i32) -> Self {
        let mut target = fixtures::target("demo", "web", wanted);
        target.spec.requested_by = Some("uri:spiffe://example.org/ci".to_owned());
        target.spec.reason = Some("launch".to_owned());
        target.spec.decision_id = Some("d-1".to_owned());
        let workload = fixtures::deployment("demo", "web", replicas);
        Self {
            target,
            workload: Some(workload),
            autoscalers: Vec::new(),
            corrections: Corrections::default(),
            unrecorded: Vec::new(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        }
    }

    /// One in which the target was applied.
    pub(super) fn settled(replicas: i32) -> Self {
        let mut world = Self::new(1, replicas);
        world.act();
        world.roll_out();
        world.act();
        world
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&Seen {
            target: &self.target,
            workload: self.workload.as_ref(),
            autoscalers: &self.autoscalers,
            corrections: &self.corrections,
            unrecorded: &self.unrecorded,
            now: self.now,
        })
    }

    /// Plans, and does to the world what executing the plan does.
    pub(super) fn act(&mut self) -> Plan {
        let plan = self.plan();
        if let (Some(scale), Some(workload)) = (&plan.scale, &mut self.workload) {
            if scale.cause == Cause::Drift {
                self.corrections.record(self.now, ownership::setter(workload));
            }
            workload.replicas = scale.change.to;
            workload.rollout = after_scale(workload.rollout);
            workload.replicas_manager = Some("scalegate".to_owned());
        }
        if let Some(status) = &plan.status {
            self.target.status = Some(status.clone());
            self.unrecorded.clear();
        }
        plan
    }

    pub(super) fn roll_out(&mut self) {
        let workload = self.workload.as_mut().unwrap();
        workload.ready = workload.replicas;
        workload.rollout = Rollout::Complete;
    }

    pub(super) fn drift(&mut self, replicas: i32, manager: &str) {
        let workload = self.workload.as_mut().unwrap();
        workload.replicas = replicas;
        workload.replicas_manager = Some(manager.to_owned());
    }

    pub(super) fn request(&mut self, replicas: i32, decision: &str) {
        self.target.spec.replicas = replicas;
        self.target.spec.decision_id = Some(decision.to_owned());
        *self.target.metadata.generation.as_mut().unwrap() += 1;
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += jiff::SignedDuration::from_secs(seconds);
    }

    pub(super) fn autoscale(&mut self) {
        self.autoscalers = vec![Arc::new(Autoscaler::new("web", 2, 9))];
    }

    pub(super) fn condition(&self, kind: &str) -> Condition {
        let status = self.target.status.as_ref().unwrap();
        conditions::status(&status.conditions, kind).unwrap().clone()
    }

    /// Status and reason of `Ready`, `TargetFound`, `Synced` and `Contended`.
    pub(super) fn conditions(&self) -> [(bool, String); 4] {
        ["Ready", "TargetFound", "Synced", "Contended"].map(|kind| {
            let condition = self.condition(kind);
            assert_eq!(condition.observed_generation, self.target.metadata.generation, "{kind}");
            (condition.status == "True", condition.reason)
        })
    }

    pub(super) fn history(&self) -> Vec<(i32, i32, Option<&str>, Option<&str>)> {
        let history = &self.target.status.as_ref().unwrap().history;
        history
            .iter()
            .map(|change| (change.from, change.to, change.decision_id.as_deref(), change.reason.as_deref()))
            .collect()
    }
}
