//! What can be done, whatever the transport.

use std::sync::Arc;
use std::time::Duration;

use kube::core::Selector;
use tokio::time::Instant;

use crate::identity::ClientIdentity;
use crate::policy::{Get, ListQuery, Permit, Policy, Release, Set};
use crate::replicas::{DeploymentName, Observation, Version};
use crate::targets::{Targets, WriteError};

use super::error::Error;
use super::view::{ListView, ReplicasView};

/// How often a write is decided anew when another writer came first.
const ATTEMPTS: usize = 5;
/// How long the cache may take to show what another writer did, or a version that a client named.
const CATCH_UP: Duration = Duration::from_secs(2);
/// The oldest state that a change is decided on: an outage of this length stops writes even if the API server is back
/// before the watches are.
const OLDEST_FOR_WRITES: Duration = Duration::from_secs(30);

/// The operations of the gateway. Each asks the policies first: what it shows or writes takes their permit.
pub struct Operations {
    policy: Arc<Policy>,
    targets: Targets,
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
    pub(super) after: Option<DeploymentName>,
}

impl Operations {
    /// Operations that `policy` permits and `targets` writes.
    pub fn new(policy: Arc<Policy>, targets: Targets) -> Self {
        Self { policy, targets }
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
            let Some(at_least) = at_least.filter(|version| !reached(permit.observation(), version)) else {
                return shown(ReplicasView::of(&permit), target);
            };
            if !self.policy.changed(&permit, deadline, |observation| reached(observation, at_least)).await {
                return Err(Error::VersionNotReached);
            }
        }
    }

    /// The Deployments that the client may get.
    pub(super) async fn list(&self, client: &Arc<ClientIdentity>, request: ListRequest) -> Result<ListView, Error> {
        let ListRequest { namespace, selector, limit, after } = request;
        let listing = self.policy.list(client, &ListQuery { namespace, selector, limit, after }).await?;
        Ok(ListView::of(&listing))
    }

    /// Sets a Deployment's baseline.
    pub(super) async fn set(&self, client: &Arc<ClientIdentity>, change: Change<Set>) -> Result<ReplicasView, Error> {
        let target = change.action.target.clone();
        for _ in 0..ATTEMPTS {
            let permit = self.policy.decide(client, change.action.clone()).await?;
            check(&permit, &target, &change.precondition)?;
            if let Some(autoscaler) = permit.observation().autoscalers.first() {
                let owner = format!("{} {}", autoscaler.kind, autoscaler.name);
                return Err(Error::OwnedByAutoscaler { target, owner });
            }
            if change.dry_run {
                return shown(ReplicasView::dry_run(&permit), target);
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
        for _ in 0..ATTEMPTS {
            let permit = self.policy.decide(client, change.action.clone()).await?;
            check(&permit, &target, &change.precondition)?;
            if change.dry_run {
                return shown(ReplicasView::dry_run(&permit), target);
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

/// Whether `observation` is at `version` or past it. Another uid means that the target, or the Deployment, was made
/// anew since: that is past it too.
fn reached(observation: &Observation, version: &Version) -> bool {
    match (observation.version(), version) {
        (Some(Version::Target { uid, generation }), Version::Target { uid: wanted, generation: at_least }) => {
            uid != *wanted || generation >= *at_least
        }
        (_, Version::Target { .. }) => false,
        (_, Version::Untargeted { .. }) => true,
    }
}

fn failed(error: WriteError) -> Error {
    let may_be_repeated = matches!(error, WriteError::Unavailable { .. } | WriteError::MovedOn);
    let cause = format!("{:#}", anyhow::Error::from(error));
    if may_be_repeated { Error::KubernetesUnavailable { cause } } else { Error::WriteRejected { cause } }
}
