//! Runs evaluations: where they run, how many at once, and what is recorded of them.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::decision_log;
use super::document::Input;
use super::input::Tags;
use super::live::Live;
use super::metrics::PolicyMetrics;
use super::permit::{DecisionId, Denied};
use super::set::{Matching, PolicySet};
use super::verdict::{Judgement, Outcome, Question, judge};

/// Up to this deadline a module runs where the request does; the others would keep its thread from other requests.
const INLINE: Duration = Duration::from_millis(5);

/// How long a question waits for a place on the pool. It is no part of any module's deadline.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers questions by the live set.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    live: Arc<Live>,
    metrics: PolicyMetrics,
    pool: Arc<Semaphore>,
}

/// A question that was answered.
pub(super) struct Judged {
    pub(super) question: Question,
    pub(super) judgement: Judgement,
    pub(super) elapsed: Duration,
}

impl Judge {
    pub(super) fn new(live: Arc<Live>, metrics: PolicyMetrics) -> Self {
        let threads = thread::available_parallelism().map_or(2, NonZero::get);
        Self { live, metrics, pool: Arc::new(Semaphore::new(threads)) }
    }

    pub(super) fn live(&self) -> &Live {
        &self.live
    }

    /// Decides one question and logs the decision.
    pub(super) async fn decide(&self, input: Input) -> Result<(DecisionId, Tags), Denied> {
        let (decision, now, set) = (DecisionId::new(), Timestamp::now(), self.live.set());
        tracing::Span::current().record("decision_id", tracing::field::display(decision));
        let question = Question::new(input).map_err(|error| unavailable(decision, error.to_string()))?;
        let judged = if runs_inline(&set, &question.input) {
            self.judge(&set, question, now)
        } else {
            let judged = self.pooled(&set, vec![question], now).await;
            let judged = judged.and_then(|judged| judged.into_iter().next().ok_or_else(|| GONE.to_owned()));
            judged.map_err(|cause| unavailable(decision, cause))?
        };
        decision_log::decision(decision, &judged, now, set.digest());
        match judged.judgement.outcome {
            Outcome::Allowed(tags) => Ok((decision, tags)),
            Outcome::Refused(reasons) => Err(Denied::Refused { decision, reasons }),
            Outcome::Unavailable(cause) => Err(unavailable(decision, cause)),
        }
    }

    /// Answers several questions by one set, up to the first that no answer can be had to.
    pub(super) async fn pooled(
        &self,
        set: &Arc<PolicySet>,
        questions: Vec<Question>,
        now: Timestamp,
    ) -> Result<Vec<Judged>, String> {
        let place = tokio::time::timeout(PATIENCE, self.pool.clone().acquire_owned());
        let place = place.await.map_err(|_| "too many decisions are under way".to_owned())?;
        let place = place.map_err(|error| error.to_string())?;
        let (this, set) = (self.clone(), set.clone());
        let work = move || {
            // Held until the work is done, even if nobody waits for it any more.
            let _place = place;
            let mut judged = Vec::with_capacity(questions.len());
            for question in questions {
                judged.push(this.judge(&set, question, now));
                if judged.last().is_some_and(|it| matches!(it.judgement.outcome, Outcome::Unavailable(_))) {
                    break;
                }
            }
            judged
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| GONE.to_owned())
    }

    fn judge(&self, set: &PolicySet, question: Question, now: Timestamp) -> Judged {
        let start = Instant::now();
        let judgement = judge(set, &question, now);
        let elapsed = start.elapsed();
        self.metrics.decided(question.input.action.name(), judgement.outcome.name(), elapsed);
        Judged { question, judgement, elapsed }
    }
}

const GONE: &str = "the evaluation was given up";

fn runs_inline(set: &PolicySet, input: &Input) -> bool {
    set.modules().iter().all(|module| module.deadline <= INLINE || module.matches(input) == Matching::No)
}

/// The refusal for which nobody's rules are to blame; operators should know of it.
pub(super) fn unavailable(decision: DecisionId, cause: String) -> Denied {
    tracing::warn!(decision_id = %decision, cause, "no verdict");
    Denied::Unavailable { decision, cause }
}
