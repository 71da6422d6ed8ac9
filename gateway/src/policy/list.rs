//! What a client may see: a list shows what `get` allows, so there is no separate rule to forget.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kube::core::Selector;

use super::Caller;
use super::action::Get;
use super::document::Client;
use super::evaluator::{ABANDONED, Decided, Evaluator, Unanswered};
use super::input::{self, Tags};
use super::permit::{DecisionId, Denied, Permit};
use super::records::micros;
use super::set::PolicySet;
use super::verdict::{Outcome, Question};
use crate::audit::{Audit, ListRecord, Origin, Subject};
use crate::replicas::{Observation, Page};
use crate::workload::{WorkloadKind, WorkloadRef};

/// The most Deployments one request decides about.
pub(super) const EVALUATIONS: usize = 1_000;

/// The most names one request scans, however few its selector matches.
const SCANNED: usize = 10_000;
/// After how many items without a verdict a page ends: each may have used up a whole deadline.
pub(super) const UNDECIDED: usize = 32;
/// How many are decided per turn; other requests run between turns.
const CHUNK: usize = 64;

/// Which Deployments a client asks for.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Of which kind.
    pub kind: WorkloadKind,
    /// One namespace, or all.
    pub namespace: Option<String>,
    /// By the Deployments' labels.
    pub selector: Selector,
    /// How many at most; at least 1.
    pub limit: usize,
    /// The name to go on after, from [`Listing::next`].
    pub after: Option<WorkloadRef>,
}

/// What a client may see of what it asked for.
#[derive(Debug)]
pub struct Listing {
    /// In order of namespace and name; possibly fewer than asked for, or none, although there are more.
    pub items: Vec<Permit<Get>>,
    /// How many there was no verdict on: they may be the client's to see, or not.
    pub undecided: usize,
    /// The name to go on after; `None` at the end.
    pub next: Option<WorkloadRef>,
}

/// What was picked for a client, before it becomes permits.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) decision: DecisionId,
    pub(super) items: Vec<(Observation, Tags)>,
    pub(super) next: Option<WorkloadRef>,
    /// Those that there is no verdict on.
    pub(super) undecided: Vec<WorkloadRef>,
    /// Why there is no verdict on the first of these.
    cause: Option<String>,
    pub(super) evaluated: usize,
}

impl Evaluator {
    /// Walks the pages that `page` gives (after a name, so many at most) and picks what the caller may get.
    pub(super) async fn pick(
        &self,
        caller: &Caller,
        query: &ListQuery,
        page: impl Fn(Option<&WorkloadRef>, usize) -> Page,
    ) -> Result<Picked, Denied> {
        let (origin, client) = (caller.origin, caller.client.client());
        let (now, set) = (Timestamp::now(), self.live().set());
        let picked = Picked::after(query.after.clone());
        tracing::Span::current().record("decision_id", tracing::field::display(picked.decision));
        let start = Instant::now();
        let mut listing = Recording {
            audit: self.audit(),
            origin,
            client,
            share: caller.admission.account().name(),
            query,
            set: &set,
            now,
            start,
            picked,
            done: false,
        };
        let walked = self.walk(caller, query, page, &set, now, &mut listing.picked).await;
        let picked = listing.finish(&walked);
        if let Some(cause) = &picked.cause {
            tracing::warn!(decision_id = %picked.decision, undecided = picked.undecided.len(), cause, "no verdict on items of a list");
        }
        match walked {
            Ok(()) => Ok(picked),
            Err(unanswered) => Err(unanswered.denied(picked.decision)),
        }
    }

    /// Walks the pages that `page` gives, and adds to `picked` what the caller may get of them.
    pub(super) async fn walk(
        &self,
        caller: &Caller,
        query: &ListQuery,
        page: impl Fn(Option<&WorkloadRef>, usize) -> Page,
        set: &Arc<PolicySet>,
        now: Timestamp,
        picked: &mut Picked,
    ) -> Result<(), Unanswered> {
        let mut scanned = 0;
        while picked.items.len() < query.limit.max(1) && scanned < SCANNED && picked.may_go_on() {
            // No more than are missing: each answer of a page is used, so the page's end is where the next one begins.
            let missing = query.limit.max(1) - picked.items.len();
            let part = page(picked.next.as_ref(), missing.min(CHUNK).min(EVALUATIONS - picked.evaluated));
            scanned += part.scanned;
            // A scan that finds nothing awaits nothing, and would keep its thread from other requests.
            tokio::task::yield_now().await;
            let client = caller.client.client();
            let turn = caller.admission.account().turn().await;
            let known: Vec<_> = part.items.iter().map(|observation| self.known(set, client, observation)).collect();
            let unknown = part.items.iter().zip(&known).filter(|(_, known)| known.is_none());
            let questions = unknown.map(|(observation, _)| question(client, observation));
            let questions =
                questions.collect::<Result<Vec<_>, _>>().map_err(|error| Unanswered::Cause(error.to_string()))?;
            drop(turn);
            let mut asked = self.several(caller.admission.account(), set, questions, now).await?.into_iter();
            let mut next = part.next;
            let mut last = None;
            for (observation, known) in part.items.into_iter().zip(known) {
                let decided = known.or_else(|| {
                    let decided = asked.next()?;
                    Self::keep(set, caller, &observation, &decided);
                    Some(decided)
                });
                // A turn that ended early leaves the rest of its page to the next one.
                let Some(decided) = decided else {
                    next = last;
                    break;
                };
                last = Some(observation.name.clone());
                picked.add(observation, &decided);
            }
            picked.next = next;
            if picked.next.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Records a list: when it is finished, or when its request is gone before.
struct Recording<'a> {
    audit: &'a Audit,
    origin: Origin,
    client: &'a Client,
    share: &'a Arc<str>,
    query: &'a ListQuery,
    set: &'a PolicySet,
    now: Timestamp,
    start: Instant,
    picked: Picked,
    done: bool,
}

impl Recording<'_> {
    fn finish(mut self, walked: &Result<(), Unanswered>) -> Picked {
        self.done = true;
        let (outcome, cause) = match walked {
            Ok(()) => ("listed", self.picked.cause.clone()),
            Err(Unanswered::Cause(cause)) => ("unavailable", Some(cause.clone())),
            Err(busy) => ("busy", Some(busy.to_string())),
        };
        self.record(outcome, cause.as_deref());
        std::mem::replace(&mut self.picked, Picked::after(None))
    }

    fn record(&self, outcome: &'static str, cause: Option<&str>) {
        self.audit.listed(&ListRecord {
            subject: Subject { decision_id: self.picked.decision.uuid(), origin: self.origin },
            instant: self.now,
            client_id: &self.client.id,
            trust_domain: &self.client.trust_domain,
            serial: &self.client.serial,
            workload_kind: self.query.kind.as_str(),
            namespace: self.query.namespace.as_deref(),
            selector: &self.query.selector.to_string(),
            limit: self.query.limit,
            evaluated: self.picked.evaluated,
            allowed: self.picked.items.len(),
            undecided: self.picked.undecided.len(),
            outcome,
            cause,
            policy_set: self.set.digest().as_str(),
            elapsed_micros: micros(self.start.elapsed()),
            share: self.share,
        });
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.record("unavailable", Some(ABANDONED));
        }
    }
}

impl Picked {
    pub(super) fn after(next: Option<WorkloadRef>) -> Self {
        Self { decision: DecisionId::new(), items: Vec::new(), next, undecided: Vec::new(), cause: None, evaluated: 0 }
    }

    fn may_go_on(&self) -> bool {
        self.evaluated < EVALUATIONS && self.undecided.len() < UNDECIDED
    }

    fn add(&mut self, observation: Observation, decided: &Decided) {
        self.evaluated += 1;
        match decided.outcome() {
            Outcome::Allowed(tags) => self.items.push((observation, tags.clone())),
            Outcome::Refused(_) => {}
            Outcome::Busy(cause) | Outcome::Unavailable(cause) => {
                self.undecided.push(observation.name);
                self.cause.get_or_insert_with(|| cause.clone());
            }
        }
    }
}

fn question(client: &Arc<Client>, observation: &Observation) -> Result<Question, serde_json::Error> {
    let action = Get { target: observation.name.clone() };
    Question::new(input::document(client, &action, observation))
}
