//! What can be done, whatever the transport.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::{Caller, Decidable, DryRun, Get, ListQuery, Permit, Policy, Release, Selection, Set};
use crate::replicas::{Autoscaler, Observation, Version};
use crate::resource::ReplicaTarget;
use crate::shutdown::Shutdown;
use crate::targets::{Earlier, Keyed, Targets, WriteError};
use crate::workload::WorkloadRef;

use super::cursor::Cursors;
use super::error::Error;
use super::metrics::ApiMetrics;
use super::operation::{Answer, ListRequest, Operation, Precondition, WriteRequest};
use super::rendered::Renderings;
use super::stream::Stream;
use super::view::{HistoryView, ListView, Progress, ReplicasView};

/// How long a write is retried after losing to a concurrent writer.
const PERSISTENCE: Duration = Duration::from_secs(5);
/// How long the cache may take to show what another writer did, or a version that a client named.
const CATCH_UP: Duration = Duration::from_secs(2);
/// The longest pause between the change by another writer and the next attempt.
const JITTER: Duration = Duration::from_millis(50);
/// The oldest state that a change is decided on: an outage of this length stops writes even if the API server is back
/// before the watches are.
const OLDEST_FOR_WRITES: Duration = Duration::from_secs(30);

/// The places of requests that a list takes: its answer may be as long as those of many others.
const LIST_PLACES: usize = 16;

/// The operations of the gateway. Each asks the policies first: what it shows or writes takes their permit.
pub struct Operations {
    policy: Arc<Policy>,
    targets: Targets,
    cursors: Arc<Cursors>,
    renderings: Arc<Renderings>,
    shutdown: Shutdown,
    metrics: ApiMetrics,
}

impl Operations {
    /// Operations that `policy` permits and `targets` writes; lists go on by `cursors`; streams end at `shutdown`.
    pub fn new(
        policy: Arc<Policy>,
        targets: Targets,
        cursors: Arc<Cursors>,
        shutdown: Shutdown,
        metrics: ApiMetrics,
    ) -> Self {
        Self { policy, targets, cursors, renderings: Arc::default(), shutdown, metrics }
    }

    /// Does what `client` asks for, if the policies permit it.
    pub(super) async fn perform(&self, caller: &Caller, operation: Operation) -> Result<Answer, Error> {
        match operation {
            Operation::Get { workload, at_least } => self.get(caller, workload, at_least.as_ref()).await,
            Operation::History { workload } => self.history(caller, workload).await,
            Operation::List(request) => self.list(caller, request).await,
            Operation::Watch(selection) => {
                if let Selection::Many { .. } = selection {
                    // To begin it costs as much as a list.
                    caller.admission.widen(LIST_PLACES - 1)?;
                }
                let watching = self.policy.watch(caller, selection).await?;
                caller.admission.stream()?;
                let renderings = self.renderings.clone();
                Ok(Answer::Stream(Box::new(Stream::new(watching, renderings, &self.shutdown, &self.metrics))))
            }
            Operation::Set { change, wait, idempotency_key } => {
                let keyed = idempotency_key.map(|key| Keyed::new(&caller.client, &key, &change.action));
                self.set(caller, change, keyed, wait).await
            }
            Operation::Release(change) => self.release(caller, change).await,
            Operation::ListPolicies => Ok(Answer::Policies(self.policy.describe(caller).await?)),
        }
    }

    /// Shows a workload that exists, if the policies need not decide about it again. This never waits.
    pub(super) fn repeat(&self, caller: &Caller, target: WorkloadRef) -> Option<Answer> {
        let permit = self.policy.repeat(caller, Get { target })?;
        ReplicasView::of(&permit).map(|view| Answer::Replicas(Box::new(view)))
    }

    async fn get(&self, caller: &Caller, target: WorkloadRef, at_least: Option<&Version>) -> Result<Answer, Error> {
        let deadline = Instant::now() + CATCH_UP;
        loop {
            let permit = self.policy.decide(caller, Get { target: target.clone() }).await?;
            let missing = at_least.map_or(Reached::Yes, |version| reached(permit.observation(), version));
            match (missing, at_least) {
                (Reached::Yes, _) | (_, None) => return shown(ReplicasView::of(&permit), target),
                (Reached::Unclear, _) if Instant::now() >= deadline => {
                    return shown(ReplicasView::of(&permit), target);
                }
                (Reached::No, _) if Instant::now() >= deadline => return Err(Error::VersionNotReached),
                (Reached::No | Reached::Unclear, Some(at_least)) => {
                    let enough = |observation: &Observation| reached(observation, at_least) == Reached::Yes;
                    self.policy.changed(&permit, deadline, enough).await;
                }
            }
        }
    }

    async fn history(&self, caller: &Caller, target: WorkloadRef) -> Result<Answer, Error> {
        let permit = self.policy.decide(caller, Get { target: target.clone() }).await?;
        HistoryView::of(&permit).map(Answer::History).ok_or(Error::NotFound { target })
    }

    async fn list(&self, caller: &Caller, request: ListRequest) -> Result<Answer, Error> {
        caller.admission.widen(LIST_PLACES - 1)?;
        let ListRequest { kind, namespace, selector, limit, cursor } = request;
        let open = |cursor: &str| {
            self.cursors.open(&caller.client, kind, namespace.as_deref(), cursor).ok_or(Error::InvalidCursor)
        };
        let after = cursor.as_deref().map(open).transpose()?;
        let query = ListQuery { kind, namespace, selector, limit, after };
        let listing = self.policy.list(caller, &query).await?;
        let seal = |next: &WorkloadRef| self.cursors.seal(&caller.client, query.namespace.as_deref(), next);
        let next = listing.next.as_ref().map(seal).transpose();
        let next = next.map_err(|_| Error::Internal { cause: "a cursor could not be sealed".into() })?;
        Ok(Answer::List(ListView::of(&listing, next)))
    }

    async fn set(
        &self,
        caller: &Caller,
        change: WriteRequest<Set>,
        keyed: Option<Keyed>,
        wait: Option<Duration>,
    ) -> Result<Answer, Error> {
        let target = change.action.target.clone();
        if change.dry_run {
            let permit = self.policy.decide(caller, DryRun(change.action)).await?;
            if is_repeated(&permit, &target, keyed.as_ref())? {
                let view = self.repeated(caller, &permit).await.ok_or(Error::NotFound { target })?;
                return Ok(Answer::Replicas(Box::new(ReplicasView { dry_run: true, ..view })));
            }
            check(&permit, &target, &change.precondition)?;
            not_autoscaled(&permit, &target)?;
            return shown(ReplicasView::would(&permit), target);
        }
        let deadline = Instant::now() + PERSISTENCE;
        while Instant::now() < deadline {
            let permit = self.policy.decide(caller, change.action.clone()).await?;
            if is_repeated(&permit, &target, keyed.as_ref())? {
                Targets::repeated(&permit);
                let view = self.repeated(caller, &permit).await.ok_or(Error::NotFound { target })?;
                return Ok(self.stored(caller, &permit, view, permit.observation().target.as_deref(), wait).await);
            }
            check(&permit, &target, &change.precondition)?;
            not_autoscaled(&permit, &target)?;
            match self.targets.set(&permit, keyed.clone()).await {
                Ok(stored) => {
                    let view = ReplicasView::after(&permit, Some(&stored)).ok_or(Error::NotFound { target })?;
                    return Ok(self.stored(caller, &permit, view, Some(&stored), wait).await);
                }
                Err(error) => self.moved_on(&permit, error).await?,
            }
        }
        Err(Error::Conflict { target })
    }

    /// What a client sees of a set that was stored before: the present state, which may be what others have set since, if
    /// the client may get it, and else its own request.
    async fn repeated<A: Decidable>(&self, caller: &Caller, permit: &Permit<A>) -> Option<ReplicasView> {
        let get = Get { target: permit.action().target().clone() };
        let view = match self.policy.decide(caller, get).await {
            Ok(now) => ReplicasView::of(&now),
            Err(_) => ReplicasView::would(permit).map(|view| {
                let progress = Progress { accepted: true, ..view.progress };
                ReplicasView { dry_run: false, progress, ..view }
            }),
        };
        Some(ReplicasView { decision_id: Some(permit.decision().to_string()), repeated: true, ..view? })
    }

    /// The answer to a set after which `target` is stored.
    async fn stored(
        &self,
        caller: &Caller,
        permit: &Permit<Set>,
        view: ReplicasView,
        target: Option<&ReplicaTarget>,
        wait: Option<Duration>,
    ) -> Answer {
        let Some(wait) = wait else { return Answer::Accepted(Box::new(view)) };
        self.arrived(caller, permit, view, target.and_then(Version::of), wait).await
    }

    /// Waits until a change that was stored is ready, cannot become so, or `wait` is over, and shows how far it is. The
    /// client may set what it may not get: then it sees no more than what it has set.
    async fn arrived(
        &self,
        caller: &Caller,
        permit: &Permit<Set>,
        view: ReplicasView,
        stored: Option<Version>,
        wait: Duration,
    ) -> Answer {
        let settled = |observation: &Observation| {
            let seen = observation.version();
            match (observation.workload.as_deref(), &stored) {
                (None, _) => true,
                // The cache may not have seen the change yet.
                (Some(_), Some(stored)) if reached(observation, stored) != Reached::Yes => false,
                // Another change took its place.
                (Some(_), stored) if seen != *stored => true,
                (Some(workload), _) => {
                    Progress::of(workload, observation.target.as_deref()).is_settled(workload.rollout)
                }
            }
        };
        self.policy.changed(permit, Instant::now() + wait, settled).await;
        let get = Get { target: permit.action().target.clone() };
        let Ok(now) = self.policy.decide(caller, get).await else { return Answer::Accepted(Box::new(view)) };
        let Some(current) = ReplicasView::of(&now) else { return Answer::Accepted(Box::new(view)) };
        let is_ready = current.version == view.version && current.progress.ready;
        let current = Box::new(ReplicasView { decision_id: view.decision_id, repeated: view.repeated, ..current });
        if is_ready { Answer::Ready(current) } else { Answer::Accepted(current) }
    }

    /// A workload that is gone may have left its target behind, which is released like others.
    async fn release(&self, caller: &Caller, change: WriteRequest<Release>) -> Result<Answer, Error> {
        let target = change.action.target.clone();
        if change.dry_run {
            let permit = self.policy.decide(caller, DryRun(change.action)).await?;
            check(&permit, &target, &change.precondition)?;
            return shown(ReplicasView::would(&permit), target);
        }
        let deadline = Instant::now() + PERSISTENCE;
        while Instant::now() < deadline {
            let permit = self.policy.decide(caller, change.action.clone()).await?;
            check_release(&permit, &target, &change.precondition)?;
            match self.targets.release(&permit).await {
                Ok(()) => return Ok(Answer::Replicas(Box::new(ReplicasView::released(&permit)))),
                Err(error) => self.moved_on(&permit, error).await?,
            }
        }
        Err(Error::Conflict { target })
    }

    /// After a write that failed: waits for the cache where another writer came first, so that deciding anew makes
    /// sense; otherwise the failure is final.
    async fn moved_on<A: Sync>(&self, permit: &Permit<A>, error: WriteError) -> Result<(), Error> {
        let WriteError::MovedOn = error else { return Err(failed(error)) };
        let seen = permit.observation().version();
        let deadline = Instant::now() + CATCH_UP;
        self.policy.changed(permit, deadline, |observation| observation.version() != seen).await;
        // Writers that wait for the same change must not all try at the same instant.
        tokio::time::sleep(JITTER.mul_f64(fastrand::f64())).await;
        Ok(())
    }
}

fn shown(view: Option<ReplicasView>, target: WorkloadRef) -> Result<Answer, Error> {
    view.map(|view| Answer::Replicas(Box::new(view))).ok_or(Error::NotFound { target })
}

/// What holds before a set: the state is fresh, the workload exists, and is at the version that the client meant.
fn check<A>(permit: &Permit<A>, target: &WorkloadRef, precondition: &Precondition) -> Result<(), Error> {
    check_version(permit.observation(), permit.observation().version(), target, precondition)
}

/// Returns whether the target remembers the request, so that it need not be stored, whatever version it was for.
fn is_repeated<A>(permit: &Permit<A>, target: &WorkloadRef, keyed: Option<&Keyed>) -> Result<bool, Error> {
    let Some(keyed) = keyed else { return Ok(false) };
    check(permit, target, &Precondition::None)?;
    match keyed.earlier(permit.observation()) {
        Earlier::None => Ok(false),
        Earlier::Same => Ok(true),
        Earlier::Other => Err(Error::IdempotencyKeyReused),
    }
}

/// What holds before a release, which takes a workload or a target.
fn check_release<A>(permit: &Permit<A>, target: &WorkloadRef, precondition: &Precondition) -> Result<(), Error> {
    let observation = permit.observation();
    let left_behind = || observation.target.as_deref().and_then(Version::of);
    check_version(observation, observation.version().or_else(left_behind), target, precondition)
}

fn check_version(
    observation: &Observation,
    version: Option<Version>,
    target: &WorkloadRef,
    precondition: &Precondition,
) -> Result<(), Error> {
    // First, since what is old says nothing about the version either.
    if observation.age > OLDEST_FOR_WRITES {
        return Err(Error::Stale { age: observation.age });
    }
    let version = version.ok_or_else(|| Error::NotFound { target: target.clone() })?;
    match precondition {
        Precondition::Version(wanted) if *wanted != version => {
            Err(Error::VersionMismatch { current: version.to_string() })
        }
        Precondition::Version(_) | Precondition::None => Ok(()),
    }
}

/// An autoscaler that drives a workload would undo the set.
fn not_autoscaled<A>(permit: &Permit<A>, target: &WorkloadRef) -> Result<(), Error> {
    let Observation { workload, autoscalers, .. } = permit.observation();
    let Some(autoscaler) = Autoscaler::driving(autoscalers) else { return Ok(()) };
    let replicas = workload.as_ref().map_or(0, |workload| workload.replicas);
    let (owner, advice) = (autoscaler.in_words(), autoscaler.advice(replicas));
    Err(Error::OwnedByAutoscaler { target: target.clone(), owner, advice })
}

/// Whether a cache has reached a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Yes,
    No,
    /// The cache shows another target, or none: one that came before the version, or after it. Uids have no order, so
    /// only time tells.
    Unclear,
}

fn reached(observation: &Observation, version: &Version) -> Reached {
    match (observation.version(), version) {
        (Some(Version::Target { uid, generation }), Version::Target { uid: wanted, generation: at_least })
            if uid == *wanted =>
        {
            if generation >= *at_least {
                Reached::Yes
            } else {
                Reached::No
            }
        }
        (Some(Version::Untargeted { workload_uid }), Version::Untargeted { workload_uid: wanted })
            if workload_uid == *wanted =>
        {
            Reached::Yes
        }
        (Some(Version::Untargeted { .. }), Version::Target { .. }) => Reached::No,
        _ => Reached::Unclear,
    }
}

fn failed(error: WriteError) -> Error {
    let may_be_repeated = matches!(error, WriteError::Unavailable { .. } | WriteError::MovedOn);
    let cause = format!("{:#}", anyhow::Error::from(error));
    if may_be_repeated { Error::KubernetesUnavailable { cause } } else { Error::WriteRejected { cause } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicas::Replicas;
    use crate::replicas::fixtures::{Object, deployment};

    #[test]
    fn what_is_old_says_nothing_about_the_version() {
        let replicas = Replicas::from_objects([Object::Deployment(deployment("demo", "web", 3))]);
        let target = WorkloadRef::deployment("demo", "web");
        let other = Precondition::Version(Version::Untargeted { workload_uid: "another".to_owned() });
        let check = |age| {
            let observation = Observation { age, ..replicas.observe(&target) };
            check_version(&observation, observation.version(), &target, &other)
        };
        assert!(matches!(check(OLDEST_FOR_WRITES), Err(Error::VersionMismatch { .. })));
        assert!(matches!(check(OLDEST_FOR_WRITES + JITTER), Err(Error::Stale { .. })));
    }
}
