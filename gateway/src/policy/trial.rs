//! One question, decided by a set outside of a gateway. What comes of it is told to people, and permits nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::document::{API_VERSION, Input};
use super::set::PolicySet;
use super::verdict::{Conclusion, Outcome, Question, evaluate};

/// What a set says to one question.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// Whether the client may.
    pub allow: bool,
    /// Why not, as the client would read it.
    pub reasons: Vec<String>,
    /// What the modules that match say, in the set's order.
    pub modules: Vec<ModuleTrial>,
    /// What the modules attach to the decision; nothing where it is refused.
    pub tags: BTreeMap<String, String>,
    /// Whether a module asked for the time: then the answer may be another one at another time.
    pub asked_time: bool,
}

/// What one module says.
#[derive(Debug, Serialize)]
pub struct ModuleTrial {
    /// Its name in `policies.yaml`.
    pub module: String,
    /// Whether it allows the request.
    pub allow: bool,
    /// Its reasons.
    pub reasons: Vec<String>,
    /// Whether its reasons or tags exceeded their limits, and were cut or left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum TrialError {
    /// It is not the document that policies read.
    #[error("not the document that policies read (see policies/schema.json): {0}")]
    Shape(#[from] serde_json::Error),
    /// It is one of another version.
    #[error("apiVersion is {0:?}; this gateway asks by {API_VERSION:?}")]
    Version(String),
    /// It is for a limited time, for which no client can ask.
    #[error("request.durationSeconds is null in every question: no request can be for a limited time yet")]
    Limited,
    /// The gateway would not send these fields, so modules would not see them.
    #[error("no such field: {}", .0.join(", "))]
    Unknown(Vec<String>),
    /// No module of the set matches it.
    #[error("no module covers it: see the match of each in policies.yaml")]
    Unmatched,
    /// A module could not be asked, for which a gateway would answer 503.
    #[error("no verdict: {0}")]
    Unavailable(String),
}

/// Decides the question `document`, an [`Input`] in JSON, as a gateway under `set` would at the instant `now`.
///
/// # Errors
///
/// Where the document is not what a gateway would ask, and where a module cannot answer.
pub fn try_out(set: &PolicySet, document: &str, now: Timestamp) -> Result<Trial, TrialError> {
    let conclusion = evaluate(set, &question(document)?, now);
    let Conclusion { outcome, verdicts, asked_time } = conclusion;
    let (allow, reasons, tags) = match outcome {
        Outcome::Allowed(tags) => (true, Vec::new(), tags),
        Outcome::Refused(reasons) => (false, reasons, BTreeMap::new()),
        Outcome::Busy(cause) | Outcome::Unavailable(cause) => return Err(TrialError::Unavailable(cause)),
    };
    let modules = verdicts.into_iter().map(|it| ModuleTrial {
        module: it.module,
        allow: it.allow,
        reasons: it.reasons,
        cut: it.cut,
    });
    Ok(Trial { allow, reasons, modules: modules.collect(), tags, asked_time })
}

pub(super) fn question(document: &str) -> Result<Question, TrialError> {
    let given: Value = serde_json::from_str(document)?;
    if let Some(version) = given.get("apiVersion").and_then(Value::as_str).filter(|version| *version != API_VERSION) {
        return Err(TrialError::Version(version.to_owned()));
    }
    let input: Input = serde_json::from_str(document)?;
    if input.request.as_ref().is_some_and(|request| request.duration_seconds.is_some()) {
        return Err(TrialError::Limited);
    }
    let mut unknown = Vec::new();
    missing("", &given, &serde_json::to_value(&input)?, &mut unknown);
    if unknown.is_empty() { Ok(Question::new(input)?) } else { Err(TrialError::Unknown(unknown)) }
}

/// The fields of `given` that are not in `understood`. The types do not refuse them by themselves, because a policy must
/// accept fields that a later gateway adds, and their JSON Schema says so.
fn missing(path: &str, given: &Value, understood: &Value, unknown: &mut Vec<String>) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match understood.get(key) {
                    Some(field) => missing(&path, value, field, unknown),
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) => {
            for (index, (given, understood)) in given.iter().zip(understood).enumerate() {
                missing(&format!("{path}[{index}]"), given, understood, unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;

    use super::*;
    use crate::policy::document::Action;
    use crate::policy::testing::input;

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        let mut document = serde_json::to_value(input(Action::Set, "demo")).unwrap();
        change(&mut document);
        question(&document.to_string()).err().unwrap().to_string()
    }

    #[test]
    fn what_a_gateway_asks_is_read_back_to_the_byte() {
        let asked = Question::new(input(Action::Set, "demo")).unwrap();
        assert_eq!(question(&asked.json).unwrap().json, asked.json);
    }

    #[test]
    fn fields_that_may_be_null_may_be_absent() {
        let mut document = serde_json::to_value(input(Action::Get, "demo")).unwrap();
        document.as_object_mut().unwrap().remove("current");
        assert!(question(&document.to_string()).unwrap().input.current.is_none());
    }

    #[test]
    fn what_no_gateway_asks_is_told() {
        assert_eq!(
            refused(|it| {
                it["target"]["namespacelabels"] = json!({});
                it["current"]["owners"] = json!([{"kind": "x", "name": "x", "min": 1, "max": 2, "mx": 3}]);
            }),
            "no such field: current.owners[0].mx, target.namespacelabels"
        );
        assert_eq!(
            refused(|it| it["apiVersion"] = json!("scalegate.dev/v2")),
            "apiVersion is \"scalegate.dev/v2\"; this gateway asks by \"scalegate.dev/v1\""
        );
        assert_eq!(
            refused(|it| it["request"]["durationSeconds"] = json!(3600)),
            "request.durationSeconds is null in every question: no request can be for a limited time yet"
        );
        assert!(refused(|it| it["action"] = json!("delete")).contains("unknown variant `delete`"));
        assert!(refused(|it| it["request"]["replicas"] = json!("4")).contains("invalid type"));
        assert!(refused(|it| drop(it.as_object_mut().unwrap().remove("client"))).contains("missing field `client`"));
    }
}
