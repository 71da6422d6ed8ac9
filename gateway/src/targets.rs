//! The write of a permitted request: one `ReplicaTarget`.
//!
//! Each write is fenced by what the decision saw. If the cluster has moved on since, nothing is written, and the caller
//! lets the cache catch up and asks the policies anew. A write that was begun runs to its end, and its outcome is logged,
//! although nobody waits for it any more.

mod error;
mod in_flight;
mod keyed;
mod order;

pub use error::WriteError;
pub use keyed::{Earlier, Keyed};

use kube::Api;
use kube::api::{DeleteParams, Patch, Preconditions};

use crate::audit::Outcome;
use crate::kubernetes::{call, naming_traces};
use crate::policy::{Permit, Release, Set};
use crate::replicas::{Observation, Version};
use crate::resource::ReplicaTarget;
use crate::trace::Spans;

use self::in_flight::InFlight;
use self::order::{Order, Write};

/// How often a release goes on when the target's status was updated just then.
const RELEASE_ATTEMPTS: usize = 5;

/// Writes `ReplicaTarget`s. Clones share one client.
#[derive(Clone)]
pub struct Targets {
    client: kube::Client,
    in_flight: InFlight,
}

impl Targets {
    /// Writes through `client`, with spans that go to `spans`.
    pub fn new(client: &kube::Client, spans: Spans) -> Self {
        Self { client: naming_traces(client), in_flight: InFlight::new(spans) }
    }

    /// Sets the Deployment's baseline, and who asked for it and why: creates the target, or replaces the spec of the one
    /// that the decision saw. The target remembers `keyed`. Gives the target as it is stored.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]; only after [`WriteError::Unavailable`] may something have been written.
    pub async fn set(&self, permit: &Permit<Set>, keyed: Option<Keyed>) -> Result<ReplicaTarget, WriteError> {
        let action = permit.action();
        let order = Order {
            replicas: action.replicas,
            requested_by: permit.client().id().to_string(),
            reason: action.reason.clone(),
            decision_id: permit.decision().to_string(),
            keyed,
        };
        let (targets, seen) = (self.clone(), permit.observation().clone());
        let stored = |target: &ReplicaTarget| ended("stored", Version::of(target));
        self.in_flight.run(permit.take_pending(), stored, async move { targets.write(&seen, order).await }).await
    }

    /// Records that a permitted set was stored before, as the target that the decision saw remembers, and is not stored
    /// again.
    pub fn repeated(permit: &Permit<Set>) {
        let version = permit.observation().target.as_deref().and_then(Version::of);
        if let Some(pending) = permit.take_pending() {
            pending.conclude(&ended("repeated", version));
        }
    }

    /// Stops managing the Deployment: deletes the target that the decision saw. The Deployment's count stays. Where
    /// there is no target, nothing is written.
    ///
    /// # Errors
    ///
    /// See [`WriteError`]; only after [`WriteError::Unavailable`] may something have been written.
    pub async fn release(&self, permit: &Permit<Release>) -> Result<(), WriteError> {
        let (targets, seen) = (self.clone(), permit.observation().clone());
        let done = if seen.target.is_some() { "released" } else { "nothing_to_do" };
        let done = move |(): &()| ended(done, None);
        self.in_flight.run(permit.take_pending(), done, async move { targets.delete(&seen).await }).await
    }

    /// Waits until every write that was begun has ended, for a process that is about to end.
    pub async fn ended(&self) {
        self.in_flight.ended().await;
    }

    async fn write(&self, seen: &Observation, order: Order) -> Result<ReplicaTarget, WriteError> {
        match order.write(seen)? {
            Write::Create(target) => Ok(call::write(self.in_namespace_of(seen).create(&call::post(), &target)).await?),
            Write::Patch(patch) => self.patch(seen, &patch).await,
        }
    }

    async fn patch(&self, seen: &Observation, patch: &Patch<()>) -> Result<ReplicaTarget, WriteError> {
        let targets = self.in_namespace_of(seen);
        Ok(call::write(targets.patch(&seen.name.target_name(), &call::patch(), patch)).await?)
    }

    /// The uid alone would let a release delete a count that was set after the decision, which no policy ever saw. But a
    /// deletion can be bound to no generation, only to a resourceVersion, which every update of the status changes: so
    /// where that moved, the API server is asked whether the generation did.
    async fn delete(&self, seen: &Observation) -> Result<(), WriteError> {
        let Some(target) = &seen.target else { return Ok(()) };
        let targets = self.in_namespace_of(seen);
        let mut resource_version = target.metadata.resource_version.clone();
        for _ in 0..RELEASE_ATTEMPTS {
            let preconditions = Preconditions { uid: target.metadata.uid.clone(), resource_version };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            let deletion = call::write(targets.delete(&seen.name.target_name(), &params)).await;
            match deletion.map_err(WriteError::from) {
                Err(WriteError::MovedOn) => {
                    resource_version = self.patch(seen, &order::is_still(target)?).await?.metadata.resource_version;
                }
                done => return done.map(drop),
            }
        }
        Err(WriteError::MovedOn)
    }

    fn in_namespace_of(&self, seen: &Observation) -> Api<ReplicaTarget> {
        Api::namespaced(self.client.clone(), &seen.name.namespace)
    }
}

fn ended(outcome: &'static str, version: Option<Version>) -> Outcome {
    Outcome::Ended { outcome, version: version.map(|version| version.to_string()), error: None }
}

#[cfg(test)]
mod tests;
