//! What an error is at each door: one table.

use http::StatusCode;
use tonic::Code;

use super::Error;

/// The codes of [`Error::Invalid`].
pub(super) const INVALID: [&str; 11] = [
    "invalid_body",
    "invalid_host",
    "invalid_idempotency_key",
    "invalid_if_match",
    "invalid_name",
    "invalid_parameter",
    "invalid_reason",
    "invalid_replicas",
    "narrow_it",
    "unexpected_body",
    "unsupported_condition",
];

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
            Self::CrossSite => kind(StatusCode::FORBIDDEN, Code::PermissionDenied, "cross_site"),
            Self::Refused { .. } => kind(StatusCode::FORBIDDEN, Code::PermissionDenied, "refused"),
            Self::PolicyUnavailable { .. } => {
                kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "policy_unavailable")
            }
            Self::TooManyRequests => kind(StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "too_many_requests"),
            Self::RateLimited { .. } => kind(StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "rate_limited"),
            Self::Full | Self::Busy { .. } => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "busy"),
            Self::AuditUnavailable { .. } => {
                kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "audit_unavailable")
            }
            Self::NotFound { .. } => kind(StatusCode::NOT_FOUND, Code::NotFound, "deployment_not_found"),
            Self::OwnedByAutoscaler { .. } => {
                kind(StatusCode::CONFLICT, Code::FailedPrecondition, "owned_by_autoscaler")
            }
            Self::VersionMismatch { .. } => {
                kind(StatusCode::PRECONDITION_FAILED, Code::FailedPrecondition, "version_mismatch")
            }
            Self::IdempotencyKeyReused => {
                kind(StatusCode::UNPROCESSABLE_ENTITY, Code::FailedPrecondition, "idempotency_key_reused")
            }
            Self::Conflict { .. } => kind(StatusCode::CONFLICT, Code::Aborted, "conflict"),
            Self::VersionNotReached => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "version_not_reached"),
            Self::Unread | Self::Stale { .. } => {
                kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "cache_stale")
            }
            Self::PolicyChanged => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "policy_changed"),
            Self::Draining => kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "draining"),
            Self::WriteRejected { .. } => kind(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "write_rejected"),
            Self::Internal { .. } => kind(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "internal"),
            Self::KubernetesUnavailable { .. } => {
                kind(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "kubernetes_unavailable")
            }
        }
    }
}
