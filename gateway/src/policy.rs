//! Whether a client may: the only place that makes a [`Permit`].
//!
//! A request becomes a [`document::Input`]; each module of the live [`PolicySet`] that matches it is asked, and all
//! must allow it. Whatever keeps a module from answering is a no, told apart from a refusal: [`Denied::Unavailable`].
//!
//! Component guests and shadow modules have their place beside `rego` and in `set`.

mod action;
mod bounds;
mod budget;
mod cache;
pub mod document;
mod engine;
mod evaluator;
mod facts;
mod input;
mod inspect;
mod list;
mod live;
mod measure;
mod metrics;
mod permit;
mod records;
pub mod rego;
mod reload;
mod set;
mod shared;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trial;
mod turns;
mod verdict;
mod watch;

pub use action::{Decidable, DryRun, Effect, Get, Release, Set};
pub use budget::Budget;
pub use engine::{Engine, EngineError};
pub(crate) use facts::Facts;
pub use inspect::{InspectedModule, Inspection, inspect};
pub use list::{ListQuery, Listing};
pub use live::{ModuleStatus, Monitor, PolicyStatus};
pub use measure::{ModuleCost, ProbeCost, measure, measure_probes};
pub use metrics::PolicyMetrics;
pub use permit::{DecisionId, Denied, PendingChange, Permit};
pub use rego::{EvalError, LoadError};
pub use reload::PolicyReloader;
pub use set::{
    BundleError, DataError, ManifestError, ModuleError, ModuleProblem, PolicySet, ReadError, SetDigest, SetError,
    SetLimit,
};
pub use trial::{ModuleTrial, Trial, TrialError, try_out};
pub use watch::{Change, Selection, WatchError, Watching};

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use thiserror::Error;
use tokio::time::Instant;

use self::evaluator::{Allowed, Asked, Evaluator};
use self::set::Loader;
use crate::audit::{Audit, Origin};
use crate::clients::Admission;
use crate::identity::ClientIdentity;
use crate::replicas::{Observation, Replicas};

/// There are no policies to begin with.
#[derive(Debug, Error)]
pub enum StartError {
    /// The directory holds no usable set.
    #[error("the policies cannot be used")]
    Set(#[from] SetError),
    /// Loading them panicked.
    #[error("loading the policies failed")]
    Loading(#[source] tokio::task::JoinError),
}

/// Who sent a request, and from where.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The client that the connection's certificate names.
    pub client: Arc<ClientIdentity>,
    /// Its request's place.
    pub admission: Admission,
    /// Where the request came from.
    pub origin: Origin,
}

/// Decides, by the policies that serve and the state of the cluster. Clones share both.
#[derive(Debug, Clone)]
pub struct Policy {
    evaluator: Evaluator,
    replicas: Replicas,
}

impl Policy {
    /// Loads the policies in `directory`, with an engine for them. The [`PolicyReloader`] keeps them up with it for as long as
    /// it runs. Answers to reads take at most `answer_cache_bytes`.
    pub async fn open(
        engine: Engine,
        directory: PathBuf,
        answer_cache_bytes: usize,
        replicas: Replicas,
        metrics: PolicyMetrics,
        audit: Audit,
    ) -> Result<(Self, Monitor, PolicyReloader), StartError> {
        let loading = metrics.clone();
        let loader = Loader::new(engine).with_answer_cache(answer_cache_bytes);
        let load = move || PolicyReloader::start(loader, &directory, loading);
        let (reloader, live) = tokio::task::spawn_blocking(load).await.map_err(StartError::Loading)??;
        let monitor = Monitor::new(live.clone());
        Ok((Self { evaluator: Evaluator::new(live, metrics, audit), replicas }, monitor, reloader))
    }

    /// Decides whether `caller` may do `action` now, and records the decision. Of a change, the record is with the
    /// operating system before this returns.
    ///
    /// # Errors
    ///
    /// [`Denied::Refused`] where the rules say no or no module covers it, [`Denied::Unavailable`] where a module could
    /// not be asked, [`Denied::Unrecorded`] where the record of an allowed change cannot be written, [`Denied::Unread`]
    /// before the cluster has been read.
    pub async fn decide<A: Decidable>(&self, caller: &Caller, action: A) -> Result<Permit<A>, Denied> {
        self.check_read()?;
        let turn = caller.admission.account().turn().await;
        let observation = self.replicas.observe(action.target());
        let input = || input::document(caller.client.client(), &action, &observation);
        let facts = (A::KIND == document::Action::Get && A::EFFECT == Effect::Read).then_some(&observation);
        let asked = Asked { input, facts, effect: A::EFFECT };
        let Allowed { decision, tags, pending } = self.evaluator.decide(caller, turn, asked).await?;
        let client = caller.client.clone();
        Ok(Permit { action, client, observation, decision, tags, pending: Mutex::new(pending) })
    }

    /// Repeats an earlier permit for an existing workload if nothing that it depended on has changed, and records the
    /// decision; otherwise `None`, also before the cluster has been read: there is no earlier permit then. This never
    /// waits.
    pub fn repeat(&self, caller: &Caller, action: Get) -> Option<Permit<Get>> {
        let observation = self.replicas.observe(action.target());
        observation.workload.as_ref()?;
        let Allowed { decision, tags, .. } = self.evaluator.repeat(caller, &observation)?;
        let client = caller.client.clone();
        Some(Permit { action, client, observation, decision, tags, pending: Mutex::default() })
    }

    /// What of `query` the `caller` may get. What it may not is left out.
    ///
    /// # Errors
    ///
    /// [`Denied::Busy`] where the evaluation queue is full, [`Denied::Unread`] before the cluster has been read. Items
    /// without a verdict are counted in the answer.
    pub async fn list(&self, caller: &Caller, query: &ListQuery) -> Result<Listing, Denied> {
        self.check_read()?;
        let page = |after: Option<&_>, limit| {
            self.replicas.page(query.kind, query.namespace.as_deref(), after, &query.selector, limit)
        };
        let picked = self.evaluator.pick(caller, query, page).await?;
        let permit = |(observation, tags): (Observation, _)| Permit {
            action: Get { target: observation.name.clone() },
            client: caller.client.clone(),
            observation,
            decision: picked.decision,
            tags,
            pending: Mutex::default(),
        };
        Ok(Listing {
            items: picked.items.into_iter().map(permit).collect(),
            undecided: picked.undecided.len(),
            next: picked.next,
        })
    }

    /// Waits until the state of a permit's Deployment is `enough`; false if it is not by `deadline`.
    pub async fn changed<A: Sync>(
        &self,
        permit: &Permit<A>,
        deadline: Instant,
        enough: impl Fn(&Observation) -> bool + Send,
    ) -> bool {
        self.replicas.wait_until(&permit.observation.name, deadline, enough).await.is_ok()
    }

    /// Which policies serve, and why newer ones do not, if `caller` may know.
    ///
    /// # Errors
    ///
    /// As [`Policy::decide`], but never [`Denied::Unread`]: this depends on nothing in the cluster.
    pub async fn describe(&self, caller: &Caller) -> Result<PolicyStatus, Denied> {
        let turn = caller.admission.account().turn().await;
        let input = || input::describing(caller.client.client());
        self.evaluator.decide(caller, turn, Asked { input, facts: None, effect: Effect::Read }).await?;
        Ok(self.evaluator.live().status())
    }

    /// Nothing is decided before everything was read once: policies would see no workload, target or autoscaler where
    /// there may be one. This depends on no name and no client, so it shows nothing to a stranger.
    fn check_read(&self) -> Result<(), Denied> {
        if self.replicas.is_synced() { Ok(()) } else { Err(Denied::Unread) }
    }
}
