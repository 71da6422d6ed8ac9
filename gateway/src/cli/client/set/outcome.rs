//! What came of setting a Deployment, and how it is shown.

use serde_json::{Value, json};

use super::super::arguments::WorkloadName;
use super::super::error::ClientError;
use super::super::table::{Cell, Table, Tone};
use super::super::view::Replicas;
use super::show::{self, Form};

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is allowed, and was only tried.
    Would(Value),
    /// It is stored.
    Accepted(Value),
    /// It is stored, and the replicas are ready.
    Ready { accepted: Value, ready: Value },
    /// It failed, or what was stored did not become ready.
    Failed(ClientError),
    /// It is allowed, and was not done because another was refused.
    Kept(Value),
}

/// One Deployment and what came of it.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) name: WorkloadName,
    pub(super) replicas: u32,
    pub(super) outcome: Outcome,
}

impl Outcome {
    /// In a word or two.
    fn word(&self) -> &'static str {
        match self {
            Self::Would(_) => "would be set",
            Self::Accepted(_) => "accepted",
            Self::Ready { .. } => "ready",
            Self::Failed(error) => error.outcome(),
            Self::Kept(_) => "not set",
        }
    }

    fn tone(&self) -> Tone {
        match self {
            Self::Would(_) | Self::Kept(_) => Tone::Usual,
            Self::Accepted(_) => Tone::Pending,
            Self::Ready { .. } => Tone::Good,
            Self::Failed(_) => Tone::Bad,
        }
    }

    /// The gateway's answer to the set, or to its trial.
    fn answer(&self) -> Option<&Value> {
        match self {
            Self::Would(answer) | Self::Accepted(answer) | Self::Kept(answer) => Some(answer),
            Self::Ready { accepted, .. } => Some(accepted),
            Self::Failed(_) => None,
        }
    }

    /// The gateway's last answer.
    fn latest(&self) -> Option<&Value> {
        match self {
            Self::Ready { ready, .. } => Some(ready),
            other => other.answer(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::Failed(ClientError::Problem(problem)) => Some(problem.detail()),
            Self::Failed(error) => Some(error.to_string()),
            _ => None,
        }
    }
}

impl Attempt {
    fn row(&self) -> Vec<Cell> {
        // A change is shown from the count that it found.
        let found = self.outcome.answer().and_then(|answer| Replicas::of(answer).current());
        vec![
            Cell::new(&self.name.namespace),
            Cell::new(&self.name.name),
            Cell::number(found),
            Cell::number(Some(self.replicas.into())),
            Cell::new(self.outcome.word()).in_tone(self.outcome.tone()),
        ]
    }

    /// For programs.
    fn document(&self) -> Value {
        let WorkloadName { namespace, name } = &self.name;
        let mut document = json!({ "namespace": namespace, "name": name, "result": self.outcome.word() });
        match (&self.outcome, self.outcome.latest()) {
            (_, Some(answer)) => document["replicas"] = answer.clone(),
            (Outcome::Failed(ClientError::Problem(problem)), _) => document["problem"] = problem.document().clone(),
            (Outcome::Failed(error), _) => document["error"] = error.to_string().into(),
            _ => {}
        }
        document
    }
}

/// The table of what happened; the column of details is there where there are any.
fn table(attempts: &[Attempt]) -> Table {
    let detailed = attempts.iter().any(|attempt| attempt.outcome.detail().is_some());
    let mut header = vec!["NAMESPACE", "NAME", "FROM", "TO", "RESULT"];
    header.extend(detailed.then_some("DETAIL"));
    let mut table = Table::new(header);
    for attempt in attempts {
        let detail = detailed.then(|| Cell::new(&attempt.outcome.detail().unwrap_or_default()));
        table.push(attempt.row().into_iter().chain(detail).collect());
    }
    table
}

/// Shows what came of one; for programs, the gateway's answer.
pub(super) fn show_one(form: Form, name: &WorkloadName, replicas: u32, outcome: Outcome) -> Result<(), ClientError> {
    match (form, outcome.latest()) {
        (Form::Json | Form::Yaml, Some(answer)) => show::document(form, answer),
        _ => show_all(form, &[Attempt { name: name.clone(), replicas, outcome }]),
    }
}

/// Shows what came of several.
pub(super) fn show_all(form: Form, attempts: &[Attempt]) -> Result<(), ClientError> {
    match form {
        Form::Table | Form::Wide => show::table(&table(attempts)),
        Form::Name => {
            let done = |attempt: &&Attempt| !matches!(attempt.outcome, Outcome::Failed(_) | Outcome::Kept(_));
            show::names(attempts.iter().filter(done).map(|attempt| attempt.name.to_string()))
        }
        Form::Json | Form::Yaml => {
            let items: Vec<_> = attempts.iter().map(Attempt::document).collect();
            show::document(form, &json!({ "items": items }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::error::Problem;
    use crate::cli::client::table::Paint;
    use crate::cli::client::view::fixtures::{cart, web};

    fn attempt(name: &str, outcome: Outcome) -> Attempt {
        let name = WorkloadName { namespace: "demo".to_owned(), name: name.to_owned() };
        Attempt { name, replicas: 5, outcome }
    }

    fn refused() -> Outcome {
        let detail = "5 is more than twice the current 2; ask for at most 4";
        let document = json!({"code": "refused", "detail": detail, "decisionId": "d"});
        Outcome::Failed(ClientError::Problem(Problem::new(403, document)))
    }

    #[test]
    fn a_refusal_among_several_is_shown_with_its_reasons() {
        let attempts = [attempt("api", refused()), attempt("web", Outcome::Kept(web()))];
        insta::assert_snapshot!("one_refused", table(&attempts).render(Paint::Plain));
    }

    #[test]
    fn what_was_set_is_shown_without_a_column_of_details() {
        let attempts = [
            attempt("cart", Outcome::Accepted(cart())),
            attempt("web", Outcome::Ready { accepted: web(), ready: web() }),
            attempt("worker", Outcome::Would(cart())),
        ];
        insta::assert_snapshot!("all_set", table(&attempts).render(Paint::Plain));
    }

    #[test]
    fn programs_get_the_answers_and_problems() {
        let document = attempt("api", refused()).document();
        assert_eq!((&document["result"], &document["problem"]["code"]), (&"refused".into(), &"refused".into()));
        let document = attempt("web", Outcome::Accepted(web())).document();
        assert_eq!(document["replicas"], web());
    }
}
