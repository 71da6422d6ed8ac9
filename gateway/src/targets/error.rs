//! What can go wrong with a write, as far as the caller acts differently.

use kube::core::Status;
use thiserror::Error;

use crate::audit::UNKNOWN;

use crate::kubernetes::call::CallError;

/// Why a target was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The cluster is no longer what the decision saw; nothing was written. Wait for the cache and decide anew.
    #[error("the cluster has changed since the decision")]
    MovedOn,
    /// The API server refuses the object; nothing was written, and repeating will not help.
    #[error("the API server rejects the target: {message}")]
    Rejected {
        /// The API server's words.
        message: String,
    },
    /// The API server does not let the gateway write: its operator's mistake. Nothing was written.
    #[error("the gateway may not write targets: {message}")]
    Forbidden {
        /// The API server's words.
        message: String,
    },
    /// No answer, or none that tells: the write may or may not have happened. The cache will show it.
    #[error("the API server is not available, the write may or may not have happened")]
    Unavailable {
        /// What was wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<CallError> for WriteError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Api(kube::Error::Api(status)) => Self::from_status(*status),
            CallError::Api(kube::Error::BuildRequest(error)) => Self::Rejected { message: error.to_string() },
            other => Self::Unavailable { source: other.into() },
        }
    }
}

impl WriteError {
    /// What became of the write, in one word for the log.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::MovedOn => "moved_on",
            Self::Rejected { .. } => "rejected",
            Self::Forbidden { .. } => "forbidden",
            Self::Unavailable { .. } => UNKNOWN,
        }
    }

    fn from_status(status: Status) -> Self {
        match status.code {
            409 => Self::MovedOn,
            // Without the name of what is absent, the path itself is unknown: the CustomResourceDefinition is not installed.
            404 if status.details.as_ref().is_some_and(|details| !details.name.is_empty()) => Self::MovedOn,
            // kube-apiserver names no cause when a `test` of a JSON patch fails, and always one for an invalid object.
            422 if status.details.as_ref().is_none_or(|details| details.causes.is_empty()) => Self::MovedOn,
            403 if has_cause(&status, "NamespaceTerminating") => Self::Rejected { message: status.message },
            401 | 403 => Self::Forbidden { message: status.message },
            404 | 408 | 429 | 500.. => Self::Unavailable { source: Box::new(status) },
            _ => Self::Rejected { message: status.message },
        }
    }
}

fn has_cause(status: &Status, reason: &str) -> bool {
    status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == reason)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::{Value, json};

    use super::*;

    fn error(code: u16, details: &Value) -> WriteError {
        let status = json!({"status": "Failure", "code": code, "message": "no", "reason": "R", "details": details});
        WriteError::from_status(serde_json::from_value(status).unwrap())
    }

    /// The answers of kube-apiserver 1.36, with what they mean.
    #[test]
    fn each_refusal_says_what_the_caller_can_do() {
        let named = json!({"name": "web", "kind": "replicatargets"});
        let invalid = json!({"name": "web", "causes": [{"reason": "FieldValueInvalid", "message": "-1"}]});
        let terminating = json!({"name": "web", "causes": [{"reason": "NamespaceTerminating", "message": "bye"}]});
        assert!(matches!(error(409, &named), WriteError::MovedOn), "exists already, or a precondition failed");
        assert!(matches!(error(404, &named), WriteError::MovedOn), "target or namespace gone");
        assert!(matches!(error(422, &json!({})), WriteError::MovedOn), "a test of the patch failed");
        assert!(matches!(error(422, &invalid), WriteError::Rejected { .. }), "invalid object");
        assert!(matches!(error(400, &json!({})), WriteError::Rejected { .. }));
        assert!(matches!(error(403, &terminating), WriteError::Rejected { .. }));
        assert!(matches!(error(403, &named), WriteError::Forbidden { .. }));
        assert!(matches!(error(401, &json!({})), WriteError::Forbidden { .. }));
        for code in [404, 408, 429, 500, 503, 504] {
            assert!(matches!(error(code, &json!({})), WriteError::Unavailable { .. }), "{code}");
        }
    }
}
