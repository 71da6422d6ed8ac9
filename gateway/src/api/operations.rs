//! What can be done, whatever the transport.

use std::sync::Arc;
use std::time::Duration;

use kube::core::Selector;
use tokio::time::Instant;

use crate::identity::ClientIdentity;
use crate::policy::{Get, ListQuery, Permit, Policy, Release, Set};
use crate::replicas::{DeploymentName, Observation, Version};
use crate::targets::{Targets, WriteError};

use super::cursor::Cursors;
use super::error::Error;
use super::view::{ListView, ReplicasView};

/// For how long a write is decided anew whenever another writer came first.
const PERSISTENCE: Duration = Duration::from_secs(5);
/// How long the cache may take to show what another writer did, or a version that a client named.
const CATCH_UP: Duration = Duration::from_secs(2);
/// The longest pause between the change by another writer and the next attempt.
const JITTER: Duration = Duration::from_millis(50);
/// The oldest state that a change is decided on: an outage of this length stops writes even if the API server is back
/// before the watches are.
const OLDEST_FOR_WRITES: Duration = Duration::from_secs(30);

/// The operations of the gateway. Each asks the policies first: what it shows or writes takes their permit.
pub struct Operations {
    policy: Arc<Policy>,
    targets: Targets,
    cursors: Arc<Cursors>,
}

/// Which version of the target a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Whatever it is: the last write wins.
    None,
    /// This one.
    Version(Version),
}

/// A change that is asked for.
#[derive(Debug)]
pub(super) struct Change<A> {
    pub(super) action: A,
    pub(super) precondition: Precondition,
    /// Decide only.
    pub(super) dry_run: bool,
}

/// A part of a list that is asked for.
#[derive(Debug)]
pub(super) struct ListRequest {
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) limit: usize,
    /// The cursor of the part before.
    pub(super) cursor: Option<String>,
}

impl Operations {
    /// Operations that `policy` permits and `targets` writes; lists go on by `cursors`.
    pub fn new(policy: Arc<Policy>, targets: Targets, cursors: Arc<Cursors>) -> Self {
        Self { policy, targets, cursors }
    }

    /// The replicas of one Deployment, not older than `at_least` where that is given.
    pub(super) async fn get(
        &self,
        client: &Arc<ClientIdentity>,
        target: DeploymentName,
        at_least: Option<&Version>,
    ) -> Result<ReplicasView, Error> {
        let deadline = Instant::now() + CATCH_UP;
        loop {
            let permit = self.policy.decide(client, Get { target: target.clone() }).await?;
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

    /// The Deployments that the client may get.
    pub(super) async fn list(&self, client: &Arc<ClientIdentity>, request: ListRequest) -> Result<ListView, Error> {
        let ListRequest { namespace, selector, limit, cursor } = request;
        let open = |cursor: &str| self.cursors.open(client, namespace.as_deref(), cursor).ok_or(Error::InvalidCursor);
        let after = cursor.as_deref().map(open).transpose()?;
        let query = ListQuery { namespace, selector, limit, after };
        let listing = self.policy.list(client, &query).await?;
        let seal = |next: &DeploymentName| self.cursors.seal(client, query.namespace.as_deref(), next);
        let next = listing.next.as_ref().map(seal).transpose();
        let next = next.map_err(|_| Error::Internal { cause: "a cursor could not be sealed".into() })?;
        Ok(ListView::of(&listing, next))
    }

    /// Sets a Deployment's baseline.
    pub(super) async fn set(&self, client: &Arc<ClientIdentity>, change: Change<Set>) -> Result<ReplicasView, Error> {
        let target = change.action.target.clone();
        let deadline = Instant::now() + PERSISTENCE;
        while Instant::now() < deadline {
            let permit = self.policy.decide(client, change.action.clone()).await?;
            check(&permit, &target, &change.precondition)?;
            if let Some(autoscaler) = permit.observation().autoscalers.first() {
                let owner = format!("{} {}", autoscaler.kind, autoscaler.name);
                return Err(Error::OwnedByAutoscaler { target, owner });
            }
            if change.dry_run {
                return shown(ReplicasView::would(&permit), target);
            }
            match self.targets.set(&permit).await {
                Ok(stored) => return shown(ReplicasView::after(&permit, Some(&stored)), target),
                Err(error) => self.moved_on(&permit, error).await?,
            }
        }
        Err(Error::Conflict { target })
    }

    /// Stops managing a Deployment; its count stays.
    pub(super) async fn release(
        &self,
        client: &Arc<ClientIdentity>,
        change: Change<Release>,
    ) -> Result<ReplicasView, Error> {
        let target = change.action.target.clone();
        let deadline = Instant::now() + PERSISTENCE;
        while Instant::now() < deadline {
            let permit = self.policy.decide(client, change.action.clone()).await?;
            check(&permit, &target, &change.precondition)?;
            if change.dry_run {
                return shown(ReplicasView::would(&permit), target);
            }
            match self.targets.release(&permit).await {
                Ok(()) => return shown(ReplicasView::after(&permit, None), target),
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

fn shown(view: Option<ReplicasView>, target: DeploymentName) -> Result<ReplicasView, Error> {
    view.ok_or(Error::NotFound { target })
}

/// What holds before any change: the Deployment exists, the state is fresh, and at the version that the client meant.
fn check<A>(permit: &Permit<A>, target: &DeploymentName, precondition: &Precondition) -> Result<(), Error> {
    let observation = permit.observation();
    let Some(version) = observation.version() else {
        return Err(Error::NotFound { target: target.clone() });
    };
    match precondition {
        Precondition::Version(wanted) if *wanted != version => {
            return Err(Error::VersionMismatch { current: version.to_string() });
        }
        Precondition::Version(_) | Precondition::None => {}
    }
    if observation.age > OLDEST_FOR_WRITES {
        return Err(Error::Stale { age: observation.age });
    }
    Ok(())
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
        (Some(Version::Untargeted { deployment_uid }), Version::Untargeted { deployment_uid: wanted })
            if deployment_uid == *wanted =>
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
