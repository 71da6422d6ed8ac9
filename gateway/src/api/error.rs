//! What can go wrong with a request, and what a client is told of it.

use std::time::Duration;

use http::StatusCode;
use thiserror::Error;
use tonic::Code;

use crate::identity::IdentityError;
use crate::policy::{DecisionId, Denied};
use crate::workload::WorkloadRef;

/// Why a request was not done.
///
/// The `Display` form is for the log and may name internals; [`Error::detail`] is what the client reads.
#[derive(Debug, Error)]
pub enum Error {
    /// The request itself is at fault.
    #[error("{code}: {detail}")]
    Invalid {
        /// The stable code of the fault.
        code: &'static str,
        /// What is wrong, and what would be right.
        detail: String,
    },
    /// The cursor of a list is none that the client was given for it.
    #[error("a cursor that does not open")]
    InvalidCursor,
    /// The path leads nowhere.
    #[error("no such route")]
    NoSuchRoute,
    /// The path does not take the method.
    #[error("method not allowed, only {allow}")]
    MethodNotAllowed {
        /// The methods that it takes, as in the `Allow` header.
        allow: &'static str,
    },
    /// Part of the API, but not implemented yet.
    #[error("{what} is not supported yet")]
    NotImplemented {
        /// What was asked for.
        what: &'static str,
    },
    /// The body is longer than the limit, in bytes.
    #[error("body over {limit} bytes")]
    BodyTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body is no JSON by its own account.
    #[error("content type is not application/json")]
    UnsupportedMediaType,
    /// gRPC needs HTTP/2.
    #[error("gRPC over a protocol other than HTTP/2")]
    HttpVersion,
    /// The client waits, before it sends the body, for something that this protocol cannot give here.
    #[error("an expectation that cannot be met")]
    ExpectationFailed,
    /// The request did not arrive in time.
    #[error("the request did not arrive within {limit:?}")]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The request arrived, and its answer was not there in time.
    #[error("no answer within {limit:?}")]
    DeadlineExceeded {
        /// The limit.
        limit: Duration,
    },
    /// The certificate was verified but names nobody.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The policies refused.
    #[error("refused (decision {decision}): {}", reasons.join("; "))]
    Refused {
        /// The decision's name.
        decision: DecisionId,
        /// Why, in words for the client.
        reasons: Vec<String>,
    },
    /// The policies could not be asked.
    #[error("no verdict (decision {decision}): {cause}")]
    PolicyUnavailable {
        /// The decision's name.
        decision: DecisionId,
        /// What went wrong, for the log.
        cause: String,
    },
    /// The client, or everyone together, asks for more decisions than can be made.
    #[error("no turn for decision {decision}")]
    Busy {
        /// The decision's name.
        decision: DecisionId,
    },
    /// There is no such Deployment.
    #[error("no {target}")]
    NotFound {
        /// The name that was asked for.
        target: WorkloadRef,
    },
    /// An autoscaler drives the Deployment.
    #[error("{target} is driven by {owner}")]
    OwnedByAutoscaler {
        /// The Deployment.
        target: WorkloadRef,
        /// The autoscaler's kind and name.
        owner: String,
    },
    /// The target is not at the version that the client named.
    #[error("at version {current}, not at the one asked for")]
    VersionMismatch {
        /// The present version.
        current: String,
    },
    /// Other writers kept changing the target.
    #[error("{target} kept changing")]
    Conflict {
        /// The Deployment.
        target: WorkloadRef,
    },
    /// The cache did not reach the version that the client named in time.
    #[error("the cache is not yet at the version asked for")]
    VersionNotReached,
    /// The cache is too old to decide a write on.
    #[error("the cache is {age:?} old")]
    Stale {
        /// Its age.
        age: Duration,
    },
    /// The API server refused the write, and would refuse it again.
    #[error("the API server refused the write: {cause}")]
    WriteRejected {
        /// What it said, for the log.
        cause: String,
    },
    /// A fault of the gateway's own.
    #[error("internal: {cause}")]
    Internal {
        /// What went wrong, for the log.
        cause: String,
    },
    /// The API server could not be reached or was too busy; the write may or may not have happened.
    #[error("the API server is unavailable: {cause}")]
    KubernetesUnavailable {
        /// What went wrong, for the log.
        cause: String,
    },
}

/// What an error is to each kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorKind {
    /// The status of HTTP.
    pub http: StatusCode,
    /// The code of gRPC.
    pub grpc: Code,
    /// The stable code, the same at each door.
    pub code: &'static str,
}

impl Error {
    /// A fault in the request: its stable `code`, and a `detail` for the client.
    pub(super) fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid { code, detail: detail.into() }
    }

    /// What the error is at each door, and its stable code.
    pub fn kind(&self) -> ErrorKind {
        let kind = |http, grpc, code| ErrorKind { http, grpc, code };
        match self {
            Self::Invalid { code, .. } => kind(StatusCode::BAD_REQUEST, Code::InvalidArgument, code),
            Self::InvalidCursor => kind(StatusCode::BAD_REQUEST, Code::InvalidArgument, "invalid_cursor"),
            Self::NoSuchRoute => kind(StatusCode::NOT_FOUND, Code::Unimplemented, "no_such_route"),
            Self::MethodNotAllowed { .. } => {
                kind(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "method_not_allowed")
            }
            Self::NotImplemented { .. } => kind(StatusCode::NOT_IMPLEMENTED, Code::Unimplemented, "not_implemented"),
            Self::BodyTooLarge { .. } => kind(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "body_too_large"),
            Self::UnsupportedMediaType => {
                kind(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, "unsupported_media_type")
            }
            Self::HttpVersion => kind(StatusCode::HTTP_VERSION_NOT_SUPPORTED, Code::Internal, "http2_required"),
            Self::ExpectationFailed => {
                kind(StatusCode::EXPECTATION_FAILED, Code::InvalidArgument, "expectation_failed")
            }
            Self::Timeout { .. } => kind(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "request_timeout"),
            Self::DeadlineExceeded { .. } => {
                kind(StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded, "deadline_exceeded")
            }
            Self::Identity(_) => kind(StatusCode::FORBIDDEN, Code::PermissionDenied, "identity_refused"),
            Self::Refused { .. } => kind(StatusCode::FORBIDDEN, Code::PermissionDenied, "refused"),
            Self::PolicyUnavailable { .. } => {
                kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "policy_unavailable")
            }
            Self::Busy { .. } => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "busy"),
            Self::NotFound { .. } => kind(StatusCode::NOT_FOUND, Code::NotFound, "deployment_not_found"),
            Self::OwnedByAutoscaler { .. } => {
                kind(StatusCode::CONFLICT, Code::FailedPrecondition, "owned_by_autoscaler")
            }
            Self::VersionMismatch { .. } => {
                kind(StatusCode::PRECONDITION_FAILED, Code::FailedPrecondition, "version_mismatch")
            }
            Self::Conflict { .. } => kind(StatusCode::CONFLICT, Code::Aborted, "conflict"),
            Self::VersionNotReached => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "version_not_reached"),
            Self::Stale { .. } => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "cache_stale"),
            Self::WriteRejected { .. } => kind(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "write_rejected"),
            Self::Internal { .. } => kind(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "internal"),
            Self::KubernetesUnavailable { .. } => {
                kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "kubernetes_unavailable")
            }
        }
    }

    /// What happened, in words for the client.
    pub fn detail(&self) -> String {
        match self {
            Self::Invalid { detail, .. } => detail.clone(),
            Self::InvalidCursor => {
                "a list goes on by the cursor that the part before of the same list gave you; if the gateway's key has \
                 changed since, begin again"
                    .into()
            }
            Self::NoSuchRoute => {
                "there is nothing at this path: there are /v1/deployments, /v1/namespaces/{namespace}/deployments, \
                 /v1/namespaces/{namespace}/deployments/{name}/replicas, /v1/policies and /healthz, without a slash at \
                 the end"
                    .into()
            }
            Self::MethodNotAllowed { allow } => format!("this path takes {allow}"),
            Self::BodyTooLarge { limit } => format!("the body may have {limit} bytes at most"),
            Self::NotImplemented { what } => format!("`{what}` is not supported yet"),
            Self::HttpVersion => "gRPC takes HTTP/2, negotiated by ALPN as `h2`".into(),
            Self::UnsupportedMediaType => {
                "send JSON as `Content-Type: application/json`, or gRPC as `application/grpc`".into()
            }
            Self::ExpectationFailed => {
                "send the request without the Expect header: only `100-continue` over HTTP/1.1 is understood".into()
            }
            Self::Timeout { limit } => format!("the request did not arrive within {limit:?}"),
            Self::DeadlineExceeded { limit } => {
                format!(
                    "there was no answer within {limit:?}; a change may or may not have been stored: read, then try again"
                )
            }
            Self::Identity(error) => error.to_string(),
            Self::Refused { reasons, .. } => reasons.join("; "),
            Self::PolicyUnavailable { .. } => {
                "the policies could not be asked, so the answer is no; the gateway's log has the cause under the \
                 decision id"
                    .into()
            }
            Self::Busy { .. } => "too many requests are being decided, yours or others'; try again".into(),
            Self::NotFound { target } => {
                format!("there is no {} {} in namespace {}", target.kind, target.name, target.namespace)
            }
            Self::OwnedByAutoscaler { owner, target } => {
                format!("{owner} sets this {}'s replicas; change its minimum and maximum instead", target.kind)
            }
            Self::VersionMismatch { current } => {
                format!("the present version is {current}: read again, and decide whether you still want this")
            }
            Self::Conflict { .. } => {
                "other writers kept changing this target, or it is being deleted and a finalizer keeps it; nothing was \
                 written, try again"
                    .into()
            }
            Self::VersionNotReached => "this gateway has not seen that version yet, try again".into(),
            Self::Stale { age } => format!(
                "this gateway last heard from Kubernetes {} s ago, too long to decide a change on; nothing was written",
                age.as_secs()
            ),
            Self::WriteRejected { .. } => {
                "Kubernetes refused this change; the gateway's log has the cause under the request id".into()
            }
            Self::Internal { .. } => "the gateway failed; its log has the cause under the request id".into(),
            Self::KubernetesUnavailable { .. } => {
                "Kubernetes did not confirm this change; it may or may not have been stored: read, then try again"
                    .into()
            }
        }
    }

    /// The reasons of the policies, if they refused.
    pub fn reasons(&self) -> &[String] {
        match self {
            Self::Refused { reasons, .. } => reasons,
            _ => &[],
        }
    }

    /// The decision behind the error, if it came to one.
    pub fn decision(&self) -> Option<DecisionId> {
        match self {
            Self::Refused { decision, .. } | Self::PolicyUnavailable { decision, .. } | Self::Busy { decision } => {
                Some(*decision)
            }
            _ => None,
        }
    }

    /// After how many seconds trying again makes sense, where it does.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::VersionNotReached | Self::Conflict { .. } | Self::PolicyUnavailable { .. } | Self::Busy { .. } => {
                Some(1)
            }
            Self::Stale { .. } | Self::KubernetesUnavailable { .. } | Self::DeadlineExceeded { .. } => Some(5),
            _ => None,
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused { decision, reasons } => Self::Refused { decision, reasons },
            Denied::Busy { decision } => Self::Busy { decision },
            Denied::Unavailable { decision, cause } => Self::PolicyUnavailable { decision, cause },
        }
    }
}
