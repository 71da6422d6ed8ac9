//! Runs evaluations: where they run, how many at once, and what is recorded of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;

use super::Caller;
use super::action::Effect;
use super::document::{Client, Input};
use super::input::Tags;
use super::live::Live;
use super::metrics::PolicyMetrics;
use super::permit::{DecisionId, Denied, PendingChange};
use super::records::{self, Context};
use super::set::{Matching, PolicySet};
use super::turns::{Busy, Turns};
use super::verdict::{Answer, Conclusion, Outcome, Question, evaluate};
use crate::audit::{Audit, Unrecorded};
use crate::clients::{Account, DecisionTurn, Exceeded};
use crate::priority::yield_to_requests;
use crate::replicas::Observation;

/// A decision with at most this deadline, the sum of its modules', runs on the request's thread; slower ones would block
/// it. One that exceeds its deadlines takes twice as long.
const INLINE: Duration = Duration::from_millis(5);

/// After this long, a turn starts no further question: other clients wait.
const SLICE: Duration = Duration::from_millis(20);

/// The priority of threads with slots: long evaluations leave most of a processor to the threads that serve.
const SLOTS: i32 = 10;

thread_local! {
    /// Set once, when a thread runs its first evaluation.
    static LOW_PRIORITY: () = yield_to_requests(SLOTS);
}

/// Why there is no verdict for a client that did not wait for it.
pub(super) const ABANDONED: &str = "the request was abandoned before its verdict";

/// Answers questions by the live set.
#[derive(Debug, Clone)]
pub(super) struct Evaluator {
    live: Arc<Live>,
    metrics: PolicyMetrics,
    audit: Audit,
    turns: Turns,
}

/// What the policies allow.
#[derive(Debug)]
pub(super) struct Allowed {
    pub(super) decision: DecisionId,
    pub(super) tags: Tags,
    /// For a change: where its outcome goes.
    pub(super) pending: Option<PendingChange>,
}

/// Why questions were not answered at all.
#[derive(Debug, Error)]
pub(super) enum Unanswered {
    /// The evaluation queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// There is no place for another change.
    #[error("too many changes are under way: {0}")]
    Changes(Exceeded),
    /// An answer could not be had.
    #[error("{0}")]
    Cause(String),
}

impl Unanswered {
    /// The denial of a request without a verdict.
    pub(super) fn denied(self, decision: DecisionId) -> Denied {
        match self {
            Self::Busy(_) | Self::Changes(_) => Denied::Busy { decision },
            Self::Cause(cause) => unavailable(decision, cause),
        }
    }
}

impl From<Unanswered> for Outcome {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Busy(_) | Unanswered::Changes(_) => Self::Busy(unanswered.to_string()),
            Unanswered::Cause(cause) => Self::Unavailable(cause),
        }
    }
}

/// A question that was answered.
pub(super) struct Decided {
    pub(super) answer: Arc<Answer>,
    pub(super) elapsed: Duration,
    /// Whether the answer was given before.
    pub(super) cached: bool,
}

impl Decided {
    fn without_verdicts(question: Question, outcome: Outcome) -> Self {
        let answer = Answer::new(question, Conclusion::without_verdicts(outcome));
        Self { answer, elapsed: Duration::ZERO, cached: false }
    }

    pub(super) fn outcome(&self) -> &Outcome {
        &self.answer.conclusion.outcome
    }
}

/// What is asked, and what the answer depends on.
pub(super) struct Asked<'a, I> {
    /// Makes the document.
    pub(super) input: I,
    /// What the document of a read is made of, whose answer may be one that was given before.
    pub(super) facts: Option<&'a Observation>,
    pub(super) effect: Effect,
}

/// Records a decision whose request is gone before its verdict, while the question is there.
struct Abandonment<'a> {
    audit: &'a Audit,
    context: Context<'a>,
    question: Option<Question>,
}

impl Drop for Abandonment<'_> {
    fn drop(&mut self) {
        let Some(question) = self.question.take() else { return };
        let decided = Decided::without_verdicts(question, Outcome::Unavailable(ABANDONED.to_owned()));
        self.audit.decided(&records::decision(self.context, &decided));
    }
}

impl Evaluator {
    pub(super) fn new(live: Arc<Live>, metrics: PolicyMetrics, audit: Audit) -> Self {
        Self { live, metrics, audit, turns: Turns::new() }
    }

    #[cfg(test)]
    pub(super) fn with_audit(self, audit: Audit) -> Self {
        Self { audit, ..self }
    }

    pub(super) fn audit(&self) -> &Audit {
        &self.audit
    }

    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Decides one question and records the decision: before it returns, where a change is allowed.
    pub(super) async fn decide(
        &self,
        caller: &Caller,
        turn: DecisionTurn<'_>,
        asked: Asked<'_, impl FnOnce() -> Input>,
    ) -> Result<Allowed, Denied> {
        let Asked { input, facts, effect } = asked;
        let (account, client) = (caller.admission.account(), caller.client.client());
        let (decision, now, set) = (DecisionId::new(), Timestamp::now(), self.live.set());
        tracing::Span::current().record("decision_id", tracing::field::display(decision));
        let share = account.name();
        let context = Context { decision, origin: caller.origin, effect, now, set: set.digest(), share };
        let busy = |question, exceeded| Decided::without_verdicts(question, Unanswered::Changes(exceeded).into());
        let mut decided = if let Some(known) = facts.and_then(|facts| self.known(&set, client, facts)) {
            known
        } else {
            let question = Question::new(input()).map_err(|error| unavailable(decision, error.to_string()))?;
            if effect == Effect::Change && !account.may_change() {
                busy(question, Exceeded::Client)
            } else {
                self.answer(account, &set, question, context).await
            }
        };
        let mut place = None;
        if let (Outcome::Allowed(_), Effect::Change) = (decided.outcome(), effect) {
            // Only now, so that clients that may not change anything never occupy a place.
            match account.change() {
                Ok(taken) => place = Some(taken),
                Err(exceeded) => decided = busy(decided.answer.question.clone(), exceeded),
            }
        }
        // Others of the client need not wait for its record.
        drop(turn);
        let record = records::decision(context, &decided);
        let mut pending = None;
        if let Some(place) = place {
            let recorded = self.audit.permitted(&record).await;
            let outcome = recorded.map_err(|Unrecorded| Denied::Unrecorded { decision })?;
            pending = Some(PendingChange::new(outcome, place));
        } else {
            self.audit.decided(&record);
        }
        if let (Some(facts), false) = (facts, decided.cached) {
            Self::keep(&set, caller, facts, &decided);
        }
        match decided.outcome() {
            Outcome::Allowed(tags) => Ok(Allowed { decision, tags: tags.clone(), pending }),
            Outcome::Refused(reasons) => Err(Denied::Refused { decision, reasons: reasons.clone() }),
            Outcome::Busy(_) => Err(Denied::Busy { decision }),
            Outcome::Unavailable(cause) => Err(unavailable(decision, cause.clone())),
        }
    }

    /// Repeats the permission that was given before to see what is in `observation`, and records the decision.
    pub(super) fn repeat(&self, caller: &Caller, observation: &Observation) -> Option<Allowed> {
        let set = self.live.set();
        let answer = set.answers().find(caller.client.client(), observation)?;
        let Outcome::Allowed(tags) = &answer.conclusion.outcome else { return None };
        let tags = tags.clone();
        let decided = self.repeated(answer);
        let (decision, now) = (DecisionId::new(), Timestamp::now());
        let (origin, effect, share) = (caller.origin, Effect::Read, caller.admission.account().name());
        let context = Context { decision, origin, effect, now, set: set.digest(), share };
        self.audit.decided(&records::decision(context, &decided));
        Some(Allowed { decision, tags, pending: None })
    }

    /// The answer that was given before to whether `client` may see what is in `observation`.
    pub(super) fn known(&self, set: &PolicySet, client: &Arc<Client>, observation: &Observation) -> Option<Decided> {
        set.answers().find(client, observation).map(|answer| self.repeated(answer))
    }

    fn repeated(&self, answer: Arc<Answer>) -> Decided {
        self.metrics.repeated(answer.question.input.action.name(), answer.conclusion.outcome.name());
        Decided { answer, elapsed: Duration::ZERO, cached: true }
    }

    /// Keeps an answer about what is in `observation`.
    pub(super) fn keep(set: &PolicySet, caller: &Caller, observation: &Observation, decided: &Decided) {
        let account = caller.admission.account().name();
        set.answers().keep(caller.client.client(), account, observation, &decided.answer);
    }

    async fn answer(
        &self,
        account: &Arc<Account>,
        set: &Arc<PolicySet>,
        question: Question,
        context: Context<'_>,
    ) -> Decided {
        if runs_inline(set, &question.input) && account.may_run_inline() {
            let decided = self.evaluate(set, question, context.now);
            account.ran_inline(decided.elapsed);
            return decided;
        }
        let mut abandonment = Abandonment { audit: &self.audit, context, question: Some(question.clone()) };
        let decided = self.pooled(account, set, vec![question.clone()], context.now).await;
        abandonment.question = None;
        let decided = decided.and_then(|decided| decided.into_iter().next().ok_or_else(gone));
        decided.unwrap_or_else(|unanswered| Decided::without_verdicts(question, unanswered.into()))
    }

    /// Evaluates one client's questions against one set, in order, as [`Evaluator::pooled`] does; one alone where a request's
    /// question would be.
    pub(super) async fn several(
        &self,
        account: &Arc<Account>,
        set: &Arc<PolicySet>,
        mut questions: Vec<Question>,
        now: Timestamp,
    ) -> Result<Vec<Decided>, Unanswered> {
        if questions.len() == 1 && runs_inline(set, &questions[0].input) && account.may_run_inline() {
            let decided = questions.pop().map(|question| self.evaluate(set, question, now));
            account.ran_inline(decided.as_ref().map_or(Duration::ZERO, |decided| decided.elapsed));
            return Ok(decided.into_iter().collect());
        }
        self.pooled(account, set, questions, now).await
    }

    /// Evaluates one client's questions against one set, in order. Always evaluates the first; stops after one that is
    /// unavailable or once the turn has lasted [`SLICE`].
    pub(super) async fn pooled(
        &self,
        account: &Arc<Account>,
        set: &Arc<PolicySet>,
        questions: Vec<Question>,
        now: Timestamp,
    ) -> Result<Vec<Decided>, Unanswered> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let turn = self.turns.take(account.name()).await?;
        let (this, set) = (self.clone(), set.clone());
        let work = move || {
            let () = LOW_PRIORITY.with(|()| ());
            // Held until the work is done, even if nobody waits for it any more.
            let _turn = turn;
            let start = Instant::now();
            let mut decided = Vec::with_capacity(questions.len());
            for question in questions {
                decided.push(this.evaluate(&set, question, now));
                let failed = decided.last().is_some_and(|it| matches!(it.outcome(), Outcome::Unavailable(_)));
                if failed || start.elapsed() > SLICE {
                    break;
                }
            }
            decided
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| gone())
    }

    fn evaluate(&self, set: &PolicySet, question: Question, now: Timestamp) -> Decided {
        let start = Instant::now();
        let conclusion = evaluate(set, &question, now);
        let elapsed = start.elapsed();
        self.metrics.decided(question.input.action.name(), conclusion.outcome.name(), elapsed);
        Decided { answer: Answer::new(question, conclusion), elapsed, cached: false }
    }
}

fn gone() -> Unanswered {
    Unanswered::Cause("the evaluation did not finish".to_owned())
}

/// Whether all modules that `input` concerns, one after the other, end soon enough.
pub(super) fn runs_inline(set: &PolicySet, input: &Input) -> bool {
    let asked = set.modules().iter().filter(|module| module.matches(input) == Matching::Yes);
    asked.map(|module| module.deadline).sum::<Duration>() <= INLINE
}

/// The denial of a request without a verdict, logged for operators.
pub(super) fn unavailable(decision: DecisionId, cause: String) -> Denied {
    tracing::warn!(decision_id = %decision, cause, "no verdict");
    Denied::Unavailable { decision, cause }
}
