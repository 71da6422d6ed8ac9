//! The verdict in what a module answers.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::EvalError;
use crate::policy::document::Verdict;

/// How much of an invalid answer is kept, in characters.
pub(super) const ANSWER_CHARACTERS: usize = 300;

/// Fields that verdicts may have in a later version. Each limits what a verdict allows: without it, more would be allowed
/// than the module meant.
const LATER: [&str; 2] = ["maxSeconds", "until"];

/// An element of the result set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultElement {
    #[serde(deserialize_with = "object")]
    result: Verdict,
}

/// A verdict that is an object. Left to itself, serde also takes an array for the fields in their order.
fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Verdict, D::Error> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = Verdict;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with `allow` and `reasons`")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Verdict, A::Error> {
            Verdict::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object)
}

pub(super) fn verdict(results: &[u8]) -> Result<Verdict, EvalError> {
    let malformed = |problem| EvalError::Malformed { problem, answer: shown(results) };
    let mut found: Vec<ResultElement> = serde_json::from_slice(results)
        .map_err(|error| malformed(later(results).unwrap_or_else(|| problem(&error))))?;
    match (found.pop(), found.len()) {
        (None, _) => Err(EvalError::Undefined),
        (Some(only), 0) => Ok(only.result),
        (Some(_), more) => Err(malformed(format!("{} results instead of one", more + 1))),
    }
}

/// The problem with an answer that has one of the fields of [`LATER`].
fn later(results: &[u8]) -> Option<String> {
    let results: serde_json::Value = serde_json::from_slice(results).ok()?;
    let verdict = results.get(0)?.get("result")?;
    let field = LATER.into_iter().find(|field| verdict.get(field).is_some())?;
    Some(format!("`{field}` is not supported yet: nothing can be allowed for a limited time"))
}

/// The error without its line and column, and without any string value of the answer, which may be secret.
fn problem(error: &serde_json::Error) -> String {
    const TEXT: &str = "invalid type: string";
    let problem = error.to_string();
    let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
    match problem.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with(TEXT) => format!("{TEXT}, expected {expected}"),
        _ => problem.to_owned(),
    }
}

/// What a module answered, as far as it is kept.
fn shown(results: &[u8]) -> String {
    let whole: Option<serde_json::Value> = serde_json::from_slice(results).ok();
    let only = whole.as_ref().and_then(|results| Some(results.get(0)?.get("result")?.to_string()));
    let text = only.unwrap_or_else(|| String::from_utf8_lossy(results).into_owned());
    match text.char_indices().nth(ANSWER_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
