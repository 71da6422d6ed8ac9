//! Streams of changes: a snapshot of what a client may get, then each change, decided separately.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::{Selector, SelectorExt};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::action::Get;
use super::evaluator::{Decided, Unanswered};
use super::facts::Facts;
use super::input::Tags;
use super::list::{EVALUATIONS, ListQuery, Picked, UNDECIDED};
use super::permit::{DecisionId, Denied, Permit};
use super::records::micros;
use super::verdict::Outcome;
use super::{Caller, Policy};
use crate::audit::{StreamEvent, StreamRecord, Subject};
use crate::replicas::{Changed, Feed, Observation, Page, Topic};
use crate::workload::{WorkloadKind, WorkloadRef};

/// After how long what there was no verdict on is decided again: at first, and at most. It doubles each time.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Why a stream ended, unless something else is noted.
const CLOSED: &str = "closed";

/// What a client follows.
#[derive(Debug, Clone)]
pub enum Selection {
    /// One workload.
    One(WorkloadRef),
    /// The workloads of a kind that the client may get.
    Many {
        /// The kind.
        kind: WorkloadKind,
        /// One namespace, or all.
        namespace: Option<String>,
        /// By the workloads' labels.
        selector: Selector,
    },
}

/// A change of what a client may get.
#[derive(Debug)]
pub enum Change {
    /// A workload, as it is now.
    Shown(Box<Permit<Get>>),
    /// A workload that is gone, that is no longer selected, or that the client may no longer get.
    Gone(WorkloadRef),
    /// Everything that there was when the stream began, or when the gateway last looked at everything, has been shown.
    Synced {
        /// How many workloads there is no verdict on: they are decided again.
        undecided: usize,
    },
}

/// Why there is no stream, or no more of it.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The policies do not permit it, or could not be asked.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such workload.
    #[error("no {0}")]
    NotFound(WorkloadRef),
    /// More workloads are selected than one stream may follow.
    #[error("more than {EVALUATIONS} workloads are selected")]
    TooMany,
}

/// A stream of changes. Its end is on record once it is dropped.
#[derive(Debug)]
pub struct Watching {
    policy: Policy,
    caller: Caller,
    selection: Selection,
    feed: Feed,
    swaps: watch::Receiver<()>,
    decision: DecisionId,
    began: Instant,
    shown: BTreeMap<WorkloadRef, Facts>,
    /// What is decided again at `retry`: these, or all.
    undecided: BTreeSet<WorkloadRef>,
    all_again: bool,
    retry: Instant,
    delay: Duration,
    ready: VecDeque<Change>,
    evaluated: usize,
    changes: u64,
    opened: bool,
    ending: &'static str,
}

impl Policy {
    /// Begins to follow what `caller` may get of `selection`.
    ///
    /// # Errors
    ///
    /// [`WatchError`], before anything is shown.
    pub async fn watch(&self, caller: &Caller, selection: Selection) -> Result<Watching, WatchError> {
        self.check_read()?;
        // From here on no change is missed.
        let feed = self.replicas.feed(selection.topic());
        let mut watching = Watching {
            policy: self.clone(),
            caller: caller.clone(),
            selection,
            feed,
            swaps: self.evaluator.live().swaps(),
            decision: DecisionId::new(),
            began: Instant::now(),
            shown: BTreeMap::new(),
            undecided: BTreeSet::new(),
            all_again: false,
            retry: Instant::now(),
            delay: RETRY.0,
            ready: VecDeque::new(),
            evaluated: 0,
            changes: 0,
            opened: false,
            ending: CLOSED,
        };
        if let Selection::One(target) = &watching.selection {
            let permit = self.decide(caller, Get { target: target.clone() }).await?;
            if permit.observation.workload.is_none() {
                return Err(WatchError::NotFound(target.clone()));
            }
            watching.decision = permit.decision;
            watching.evaluated = 1;
            watching.show(permit.observation, permit.tags);
        } else {
            tracing::Span::current().record("decision_id", tracing::field::display(watching.decision));
            watching.look_at_all().await?;
        }
        watching.ready.push_back(Change::Synced { undecided: watching.undecided.len() });
        watching.opened = true;
        watching.record(StreamEvent::Opened);
        Ok(watching)
    }
}

impl Selection {
    fn topic(&self) -> Topic {
        match self {
            Self::One(name) => Topic::Workload(name.clone()),
            Self::Many { kind, namespace, .. } => Topic::Workloads { kind: *kind, namespace: namespace.clone() },
        }
    }

    fn selects(&self, observation: &Observation) -> bool {
        let Some(workload) = &observation.workload else { return false };
        match self {
            Self::One(_) => true,
            Self::Many { selector, .. } => selector.matches(&*workload.labels),
        }
    }

    fn kind(&self) -> WorkloadKind {
        match self {
            Self::One(name) => name.kind,
            Self::Many { kind, .. } => *kind,
        }
    }

    fn namespace(&self) -> Option<&str> {
        match self {
            Self::One(name) => Some(&name.namespace),
            Self::Many { namespace, .. } => namespace.as_deref(),
        }
    }
}

impl Watching {
    /// A change that is there already.
    pub fn ready(&mut self) -> Option<Change> {
        let change = self.ready.pop_front();
        self.changes += u64::from(change.is_some());
        change
    }

    /// Waits for workloads to decide about. Cancelling it loses none.
    pub async fn changed(&mut self) -> Changed {
        if !self.all_again && self.undecided.is_empty() {
            return self.feed.changed().await;
        }
        tokio::select! {
            changed = self.feed.changed() => changed,
            () = sleep_until(self.retry) => {
                if std::mem::take(&mut self.all_again) {
                    return Changed::All;
                }
                Changed::Names(std::mem::take(&mut self.undecided).into_iter().map(Arc::new).collect())
            }
        }
    }

    /// Decides about what has changed; [`Watching::ready`] has what comes of it. What there is no turn for is decided
    /// later.
    ///
    /// # Errors
    ///
    /// [`WatchError::TooMany`] once too many workloads are selected.
    pub async fn look(&mut self, changed: Changed) -> Result<(), WatchError> {
        let names = match (changed, &self.selection) {
            (Changed::Names(names), _) => names,
            (Changed::All, Selection::One(name)) => BTreeSet::from([Arc::new(name.clone())]),
            (Changed::All, Selection::Many { .. }) => {
                // Boxed, like the walk in `look_at`: few changes need it, and it makes the future of each large.
                match Box::pin(self.look_at_all()).await {
                    Ok(()) => self.ready.push_back(Change::Synced { undecided: self.undecided.len() }),
                    Err(WatchError::Denied(_)) => self.all_again = true,
                    Err(error) => return Err(error),
                }
                self.plan_retry();
                return Ok(());
            }
        };
        self.look_at(names).await
    }

    /// Notes why the stream ends, for its record; by default its client closes it.
    pub fn end(&mut self, reason: &'static str) {
        self.ending = reason;
    }

    /// Waits until other policies serve than those that the stream began with.
    pub fn policy_swap(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut swaps = self.swaps.clone();
        async move {
            // An error means that the gateway ends.
            let _ = swaps.changed().await;
        }
    }

    /// How long ago the API server last confirmed what the stream shows.
    pub fn age(&self) -> Duration {
        self.policy.replicas.age(self.selection.namespace())
    }

    /// Decides about everything that is selected.
    async fn look_at_all(&mut self) -> Result<(), WatchError> {
        let Selection::Many { kind, namespace, selector } = self.selection.clone() else { return Ok(()) };
        let replicas = self.policy.replicas.clone();
        let page = |after: Option<&_>, limit| replicas.page(kind, namespace.as_deref(), after, &selector, limit);
        let picked = self.walk(EVALUATIONS, page).await.map_err(|unanswered| unanswered.denied(self.decision))?;
        if picked.next.is_some() {
            return Err(WatchError::TooMany);
        }
        self.undecided.clear();
        let before = self.shown.keys().cloned().collect();
        self.settle(picked, before);
        Ok(())
    }

    /// Decides about workloads that may have changed.
    async fn look_at(&mut self, names: BTreeSet<Arc<WorkloadRef>>) -> Result<(), WatchError> {
        let mut asked = BTreeMap::new();
        let set = self.policy.evaluator.live().set();
        for name in names {
            let observation = self.policy.replicas.observe(&name);
            self.undecided.remove(&*name);
            if !self.selection.selects(&observation) {
                self.hide(&name);
                continue;
            }
            if self.is_shown(&observation) {
                continue;
            }
            // Most often another stream of the client has asked before: then the answer takes no turn.
            let known = self.policy.evaluator.known(&set, self.caller.client.client(), &observation);
            self.evaluated += usize::from(known.is_some());
            match known.as_ref().map(Decided::outcome) {
                Some(Outcome::Allowed(tags)) => self.show(observation, tags.clone()),
                Some(Outcome::Refused(_)) => self.hide(&name),
                _ => _ = asked.insert((*name).clone(), observation),
            }
        }
        if asked.is_empty() {
            return self.looked();
        }
        let page = |after: Option<&WorkloadRef>, limit| {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = asked.range::<WorkloadRef, _>((from, Bound::Unbounded));
            let items: Vec<_> = rest.by_ref().take(limit).map(|(_, observation)| observation.clone()).collect();
            let next = rest.next().and_then(|_| items.last()).map(|last| last.name.clone());
            Page { scanned: items.len(), items, next }
        };
        match Box::pin(self.walk(asked.len(), page)).await {
            Ok(picked) => self.settle(picked, asked.into_keys().collect()),
            // Without a turn, later.
            Err(_) => self.undecided.extend(asked.into_keys()),
        }
        self.looked()
    }

    /// Ends a look at what has changed.
    fn looked(&mut self) -> Result<(), WatchError> {
        self.plan_retry();
        if self.shown.len() > EVALUATIONS { Err(WatchError::TooMany) } else { Ok(()) }
    }

    /// Returns whether the client was shown what `observation` was made from.
    fn is_shown(&self, observation: &Observation) -> bool {
        self.shown.get(&observation.name).is_some_and(|facts| facts.are_those_of(observation))
    }

    /// Shows what was picked, and hides what is left of `rest`.
    fn settle(&mut self, picked: Picked, mut rest: BTreeSet<WorkloadRef>) {
        for (observation, tags) in picked.items {
            rest.remove(&observation.name);
            self.show(observation, tags);
        }
        self.undecided.extend(picked.undecided);
        for name in &rest {
            self.hide(name);
        }
    }

    /// Plans when to decide again what there is no verdict on, unless that is planned: other changes do not put it off.
    fn plan_retry(&mut self) {
        if self.undecided.is_empty() && !self.all_again {
            self.delay = RETRY.0;
        } else if self.retry <= Instant::now() {
            self.retry = Instant::now() + self.delay;
            self.delay = RETRY.1.min(2 * self.delay);
        }
    }

    /// What the client may get of the workloads that `page` gives.
    async fn walk(
        &mut self,
        limit: usize,
        page: impl Fn(Option<&WorkloadRef>, usize) -> Page,
    ) -> Result<Picked, Unanswered> {
        let (evaluator, set) = (self.policy.evaluator.clone(), self.policy.evaluator.live().set());
        let mut picked = Picked::after(None);
        while picked.evaluated < limit {
            let query = ListQuery {
                kind: self.selection.kind(),
                namespace: None,
                selector: Selector::default(),
                limit: limit - picked.evaluated,
                after: None,
            };
            let mut part = Picked::after(picked.next.take());
            evaluator.walk(&self.caller, &query, &page, &set, Timestamp::now(), &mut part).await?;
            self.evaluated += part.evaluated;
            picked.evaluated += part.evaluated;
            // A part ends early for want of verdicts; those that follow are not to suffer from it.
            let goes_on = part.undecided.len() >= UNDECIDED;
            picked.items.extend(part.items);
            picked.undecided.extend(part.undecided);
            picked.next = part.next;
            if picked.next.is_none() || !goes_on {
                break;
            }
        }
        Ok(picked)
    }

    fn show(&mut self, observation: Observation, tags: Tags) {
        match self.shown.get_mut(&observation.name) {
            Some(shown) if shown.are_those_of(&observation) => return,
            Some(shown) => *shown = Facts::of(&observation),
            None => {
                self.shown.insert(observation.name.clone(), Facts::of(&observation));
                if self.opened {
                    let WorkloadRef { namespace, name, .. } = &observation.name;
                    self.record(StreamEvent::Allowed { namespace, name });
                }
            }
        }
        self.ready.push_back(Change::Shown(Box::new(Permit {
            action: Get { target: observation.name.clone() },
            client: self.caller.client.clone(),
            observation,
            decision: self.decision,
            tags,
            pending: std::sync::Mutex::default(),
        })));
    }

    /// Hides a workload that is shown: it is gone, no longer selected, or refused, which is on record.
    fn hide(&mut self, name: &WorkloadRef) {
        if self.shown.remove(name).is_some() {
            let is_there = self.selection.selects(&self.policy.replicas.observe(name));
            if is_there && !self.undecided.contains(name) {
                self.record(StreamEvent::Refused { namespace: &name.namespace, name: &name.name });
            }
            self.ready.push_back(Change::Gone(name.clone()));
        }
    }

    fn record(&self, event: StreamEvent<'_>) {
        let client = self.caller.client.client();
        let (selector, name) = match &self.selection {
            Selection::One(name) => (String::new(), Some(name.name.as_str())),
            Selection::Many { selector, .. } => (selector.to_string(), None),
        };
        let set = self.policy.evaluator.live().set();
        self.policy.evaluator.audit().streamed(&StreamRecord {
            subject: Subject { decision_id: self.decision.uuid(), origin: self.caller.origin },
            instant: Timestamp::now(),
            client_id: &client.id,
            trust_domain: &client.trust_domain,
            serial: &client.serial,
            workload_kind: self.selection.kind().as_str(),
            namespace: self.selection.namespace(),
            name,
            selector: &selector,
            event,
            evaluated: self.evaluated,
            allowed: self.shown.len(),
            undecided: self.undecided.len(),
            changes: self.changes,
            policy_set: set.digest().as_str(),
            elapsed_micros: micros(self.began.elapsed()),
            share: self.caller.admission.account().name(),
        });
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.opened {
            self.record(StreamEvent::Ended(self.ending));
        }
    }
}
