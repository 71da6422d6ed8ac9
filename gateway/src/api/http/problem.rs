//! Errors as RFC 9457 problem documents.

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::api::error::{Error, ErrorKind};

/// A problem document. `code` is stable; `title` and `detail` are words for people and may change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schemars(default)]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision_id: Option<String>,
    request_id: String,
}

impl Problem {
    pub(super) fn new(error: &Error, request_id: &Uuid) -> Self {
        let ErrorKind { http: status, code, .. } = error.kind();
        Self {
            r#type: format!("urn:scalegate:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: error.detail(),
            reasons: error.reasons().to_vec(),
            decision_id: error.decision().map(|id| id.to_string()),
            request_id: request_id.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::api::error::documented::samples;

    #[test]
    fn each_error_is_a_problem_document() {
        let documents = samples().into_iter().map(|error| {
            let document = serde_json::to_string_pretty(&Problem::new(&error, &Uuid::nil())).unwrap();
            let decision = error.decision().map(|id| id.to_string());
            decision.map_or(document.clone(), |id| document.replace(&id, "DECISION")) + "\n"
        });
        insta::assert_snapshot!("problems", documents.collect::<String>());
    }
}
