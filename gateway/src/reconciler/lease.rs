//! Leader election on a `coordination.k8s.io/v1` Lease.
//!
//! Every write names the resourceVersion that it replaces, so of two candidates one loses at the API server. Whether a
//! holder is gone is judged by how long its record has stayed the same on *this* process's monotonic clock: times inside
//! the record are written for people and never compared with a clock. A holder counts its deadline from before it sent
//! the renewal, a candidate from after it saw it, so the holder always stops first.

mod settings;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::kubernetes::call::{self, CallError};
use crate::replicas::Replicas;

pub use self::settings::{LeaseError, LeaseSettings};

/// Whether this process leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// It does.
    Leader {
        /// How often the Lease had changed hands when this process got it.
        epoch: i32,
    },
    /// It does not.
    Follower {
        /// Who does, when known.
        holder: Option<String>,
    },
}

impl Leadership {
    /// Whether this process leads.
    pub fn is_leader(&self) -> bool {
        matches!(self, Self::Leader { .. })
    }
}

/// The record of a Lease as it was last seen to change, and when that was here.
struct Observed {
    resource_version: Option<String>,
    holder: Option<String>,
    renew_time: Option<MicroTime>,
    since: Instant,
}

/// A Lease that this process holds.
struct Term {
    lease: Lease,
    ends: Instant,
}

/// One candidate.
pub(super) struct Elector {
    api: Api<Lease>,
    settings: LeaseSettings,
    leadership: watch::Sender<Leadership>,
    replicas: Replicas,
    /// When the last call that was answered was sent.
    answered: Instant,
    observed: Option<Observed>,
}

impl Elector {
    /// A candidate that tells `leadership` how it fares, and `replicas` whether the API server's storage answers.
    pub(super) fn new(
        client: kube::Client,
        settings: LeaseSettings,
        leadership: watch::Sender<Leadership>,
        replicas: Replicas,
    ) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, leadership, replicas, answered: Instant::now(), observed: None }
    }

    /// Takes part in the election until `stop`, then gives the Lease back.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        self.answered = Instant::now();
        loop {
            let term = tokio::select! {
                () = &mut stop => break,
                term = self.acquire() => term,
            };
            let epoch = transitions(&term.lease);
            info!(identity = self.settings.identity, epoch, "leading");
            self.leadership.send_replace(Leadership::Leader { epoch });
            let stopped = tokio::select! {
                () = &mut stop => true,
                () = self.lead(term) => false,
            };
            self.follow(None);
            if stopped {
                break;
            }
            warn!(identity = self.settings.identity, epoch, "no longer leading");
        }
        if let Err(error) = self.release().await {
            warn!(%error, "the lease was not released; others wait until it expires");
        }
    }

    async fn acquire(&mut self) -> Term {
        let mut failures = 0_u64;
        loop {
            let sent = Instant::now();
            let acquired = self.try_acquire().await;
            self.note_storage(sent, &acquired);
            match acquired {
                Ok(Some(term)) => return term,
                Ok(None) if failures > 0 => {
                    info!(failures, "the holder of the lease is known again");
                    failures = 0;
                }
                Ok(None) => {}
                Err(error) => {
                    // What goes on for as long as an outage is said once.
                    if failures == 0 {
                        warn!(%error, "the holder of the lease is not known");
                    }
                    failures += 1;
                }
            }
            sleep(self.settings.retry_period).await;
        }
    }

    async fn try_acquire(&mut self) -> Result<Option<Term>, CallError> {
        let Some(lease) = self.get().await? else {
            return self.create().await;
        };
        if !self.is_free(&lease) {
            self.follow(holder(&lease).map(str::to_owned));
            return Ok(None);
        }
        self.replace(self.taken(lease)).await
    }

    /// Renews until the Lease is lost, or could not be renewed by the deadline.
    async fn lead(&mut self, mut term: Term) {
        loop {
            let renewal = async {
                sleep(self.settings.retry_period).await;
                (Instant::now(), self.renew(term.lease.clone()).await)
            };
            let Ok((sent, renewed)) = timeout_at(term.ends, renewal).await else { return };
            self.note_storage(sent, &renewed);
            match renewed {
                Ok(Some(renewed)) => term = renewed,
                Err(error) => warn!(%error, "the lease was not renewed"),
                Ok(None) => return,
            }
        }
    }

    /// Notes whether the call that was sent at `sent` was answered: calls about the Lease need the API server's storage,
    /// of which the watches show nothing. One that fails now and then means as little as it does for a leader. A refusal
    /// for want of a role needs no storage, and says nothing against it.
    fn note_storage<T>(&mut self, sent: Instant, answer: &Result<T, CallError>) {
        if answer.as_ref().is_err_and(CallError::is_unavailable) {
            if self.answered.elapsed() >= self.settings.renew_deadline {
                self.replicas.note_storage(Some(self.answered));
            }
        } else {
            self.answered = sent;
            self.replicas.note_storage(None);
        }
    }

    /// `None` when another holds the Lease, or it is gone.
    async fn renew(&self, lease: Lease) -> Result<Option<Term>, CallError> {
        if let Some(term) = self.replace(self.taken(lease)).await? {
            return Ok(Some(term));
        }
        // The answer to an earlier renewal may have been lost, or somebody annotated the Lease: it is still ours then.
        match self.get().await? {
            Some(lease) if self.is_mine(&lease) => self.replace(self.taken(lease)).await,
            _ => Ok(None),
        }
    }

    async fn release(&self) -> Result<(), CallError> {
        let Some(mut lease) = self.get().await? else { return Ok(()) };
        if !self.is_mine(&lease) {
            return Ok(());
        }
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            spec.lease_duration_seconds = Some(1);
        }
        self.replace(lease).await.map(drop)
    }

    /// Whether this candidate may take `lease`. Called with each answer, it keeps the time since the last change.
    fn is_free(&mut self, lease: &Lease) -> bool {
        let now = Instant::now();
        let seen = Observed {
            resource_version: lease.metadata.resource_version.clone(),
            holder: holder(lease).map(str::to_owned),
            renew_time: lease.spec.as_ref().and_then(|spec| spec.renew_time.clone()),
            since: now,
        };
        let unchanged = |last: &&Observed| {
            (&last.resource_version, &last.holder, &last.renew_time)
                == (&seen.resource_version, &seen.holder, &seen.renew_time)
        };
        let since = self.observed.as_ref().filter(unchanged).map_or(now, |last| last.since);
        let free = seen.holder.is_none() || self.is_mine(lease) || now - since >= self.patience(lease);
        self.observed = Some(Observed { since, ..seen });
        free
    }

    /// The holder may have been configured to be slower than this candidate.
    fn patience(&self, lease: &Lease) -> Duration {
        let stated = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        self.settings.lease_duration.max(Duration::from_secs(u64::try_from(stated).unwrap_or_default()))
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        holder(lease) == Some(&self.settings.identity)
    }

    /// `lease` as this candidate wants to write it: renewed if it is its own, else taken over.
    fn taken(&self, mut lease: Lease) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mine = self.is_mine(&lease);
        let old = lease.spec.take();
        let acquired = old.as_ref().filter(|_| mine).and_then(|spec| spec.acquire_time.clone());
        let transitions = old.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            acquire_time: acquired.or_else(|| Some(now.clone())),
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: i32::try_from(self.settings.lease_duration.as_secs()).ok(),
            lease_transitions: Some(if old.is_none() || mine { transitions } else { transitions.saturating_add(1) }),
            renew_time: Some(now),
            ..LeaseSpec::default()
        });
        lease.metadata.managed_fields = None;
        lease
    }

    async fn get(&self) -> Result<Option<Lease>, CallError> {
        call::within(self.settings.call_timeout(), self.api.get_opt(&self.settings.name)).await
    }

    async fn create(&self) -> Result<Option<Term>, CallError> {
        let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
        let lease = self.taken(Lease { metadata, spec: None });
        self.write(self.api.create(&call::post(), &lease)).await
    }

    async fn replace(&self, lease: Lease) -> Result<Option<Term>, CallError> {
        self.write(self.api.replace(&self.settings.name, &call::post(), &lease)).await
    }

    /// `None` when another candidate was first. The term counts from before the write was sent.
    async fn write(&self, sent: impl Future<Output = kube::Result<Lease>>) -> Result<Option<Term>, CallError> {
        let ends = Instant::now() + self.settings.renew_deadline;
        match call::within(self.settings.call_timeout(), sent).await {
            Ok(lease) => Ok(Some(Term { lease, ends })),
            Err(error) if error.is_outdated() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn follow(&self, holder: Option<String>) {
        let follower = Leadership::Follower { holder };
        self.leadership.send_if_modified(|now| {
            let changed = *now != follower;
            *now = follower;
            changed
        });
    }
}

/// The holder; a released Lease has none.
fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn transitions(lease: &Lease) -> i32 {
    lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default()
}
