//! One look at one target: plan, then write.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::replicas::{Observation, Replicas, Version};
use crate::resource::{CountChange, ReplicaTarget, ReplicaTargetStatus};
use crate::workload::WorkloadRef;

use super::conditions;
use super::contention::Corrections;
use super::metrics::ReconcilerMetrics;
use super::notice::Notice;
use super::ownership;
use super::plan::{self, Cause, ScaleTo, Seen};
use super::writer::{WriteError, Writer};

/// After a conflict, or a write of our own, the watch brings the new state; should it not, look again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// When to look at a target next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// There is no target: nothing about it is worth remembering.
    Forget,
    /// When something changes.
    Wait,
    /// When something changes, but after this at the latest.
    Within(Duration),
    /// Not before a rest: a write failed.
    Rest,
}

/// What a leader remembers of one target between two looks at it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    corrections: Corrections,
    /// Changes that were made, but are not in the status yet.
    unrecorded: Vec<CountChange>,
    /// The versions that our last writes replaced: while the cache still shows one, it is behind.
    replaced_workload: Option<String>,
    replaced_target: Option<String>,
    /// Whether the target's condition `Contended` is true.
    pub(super) is_contended: bool,
    /// How many looks in a row ended in a failed write.
    pub(super) failures: u32,
    /// The version of the target at the last look.
    pub(super) looked_at: Option<Version>,
}

impl Memory {
    fn is_ahead_of(&self, observed: &Observation, target: &ReplicaTarget) -> bool {
        let workload = observed.workload.as_ref().map(|workload| &workload.resource_version);
        (self.replaced_workload.is_some() && self.replaced_workload.as_ref() == workload)
            || (self.replaced_target.is_some() && self.replaced_target == target.metadata.resource_version)
    }
}

/// The time as it was when the process started, plus what has passed since: a clock that is set meanwhile ends no wait.
#[derive(Debug, Clone, Copy)]
struct SteadyClock {
    started: Timestamp,
    at: Instant,
}

impl SteadyClock {
    fn start() -> Self {
        Self { started: Timestamp::now(), at: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        self.started.saturating_add(self.at.elapsed()).unwrap_or(self.started)
    }
}

/// Everything that a look at a target needs.
#[derive(Clone)]
pub(super) struct Reconcile {
    replicas: Replicas,
    writer: Writer,
    metrics: ReconcilerMetrics,
    clock: SteadyClock,
}

impl Reconcile {
    pub(super) fn new(replicas: Replicas, writer: Writer, metrics: ReconcilerMetrics) -> Self {
        Self { replicas, writer, metrics, clock: SteadyClock::start() }
    }

    /// Looks at `name` once and does what is to be done.
    pub(super) async fn once(&self, name: &WorkloadRef, memory: &mut Memory) -> Next {
        let observed = self.replicas.observe(name);
        let Some(target) = observed.target.clone() else { return Next::Forget };
        if memory.is_ahead_of(&observed, &target) {
            return Next::Within(LOOK_AGAIN);
        }
        let started = Instant::now();
        let outcome = self.carry_out(&observed, &target, memory).await;
        self.metrics.reconciled(started.elapsed());
        outcome.unwrap_or_else(|error| self.after(name, &error))
    }

    fn after(&self, name: &WorkloadRef, error: &WriteError) -> Next {
        if matches!(error, WriteError::Outdated) {
            debug!(workload = %name, "the cluster moved on since the plan was made");
            return Next::Within(LOOK_AGAIN);
        }
        warn!(workload = %name, %error, "a write failed");
        self.metrics.failed(error.reason());
        Next::Rest
    }

    async fn carry_out(
        &self,
        observed: &Observation,
        target: &ReplicaTarget,
        memory: &mut Memory,
    ) -> Result<Next, WriteError> {
        let (corrections, unrecorded) = (memory.corrections.clone(), memory.unrecorded.clone());
        let seen = Seen {
            target,
            workload: observed.workload.as_deref(),
            autoscalers: &observed.autoscalers,
            corrections: &corrections,
            unrecorded: &unrecorded,
            now: self.clock.now(),
        };
        let plan = plan::plan(&seen);
        if let Some(scale) = &plan.scale {
            self.scale(&seen, &observed.name, scale, memory).await?;
        }
        let recorded = match &plan.status {
            Some(status) => self.record(target, status, memory).await,
            None => Ok(()),
        };
        // A count that was written is told even when its status was not.
        if let (Some(event), Some(workload)) = (plan.event, seen.workload)
            && (plan.scale.is_some() || recorded.is_ok())
        {
            self.tell(&observed.name, &workload.uid, event).await;
        }
        recorded?;
        memory.is_contended = plan.status.as_ref().or(target.status.as_ref()).is_some_and(conditions::is_contended);
        Ok(plan.requeue_after.map_or(Next::Wait, Next::Within))
    }

    async fn scale(
        &self,
        seen: &Seen<'_>,
        name: &WorkloadRef,
        scale: &ScaleTo,
        memory: &mut Memory,
    ) -> Result<(), WriteError> {
        let written = match self.writer.scale(name, scale).await {
            Ok(written) => written,
            Err(error) => {
                if let WriteError::Refused(message) = &error
                    && let Some(status) = plan::rejected(seen, message)
                {
                    self.record(seen.target, &status, memory).await?;
                }
                return Err(error);
            }
        };
        let CountChange { from, to, requested_by, reason, decision_id, .. } = &scale.change;
        info!(workload = %name, from, to, requested_by, reason, decision_id, cause = ?scale.cause, "scaled");
        self.metrics.scaled(scale.cause);
        memory.replaced_workload = replaced(&scale.resource_version, written);
        memory.unrecorded.push(scale.change.clone());
        if let (Cause::Drift, Some(workload)) = (scale.cause, seen.workload) {
            memory.corrections.record(seen.now, ownership::setter(workload));
        }
        Ok(())
    }

    async fn record(
        &self,
        target: &ReplicaTarget,
        status: &ReplicaTargetStatus,
        memory: &mut Memory,
    ) -> Result<(), WriteError> {
        let written = self.writer.status(target, status).await?;
        let before = target.metadata.resource_version.as_deref().unwrap_or_default();
        memory.replaced_target = replaced(before, written);
        memory.unrecorded.clear();
        Ok(())
    }

    /// An event that is lost changes nothing; the status and the log have the same.
    async fn tell(&self, name: &WorkloadRef, uid: &str, notice: Notice) {
        if let Err(error) = self.writer.event(name, uid, notice).await {
            warn!(workload = %name, %error, "an event was not written");
        }
    }
}

/// The version that a write replaced; `None` when it changed nothing, since then the watch stays silent.
fn replaced(before: &str, written: Option<String>) -> Option<String> {
    written.filter(|after| after != before).map(|_| before.to_owned())
}
