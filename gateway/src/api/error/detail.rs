//! What a client reads about an error.

use super::Error;

impl Error {
    /// What happened, in words for the client.
    pub fn detail(&self) -> String {
        match self {
            Self::Invalid { detail, .. } => detail.clone(),
            Self::InvalidCursor => {
                "use the cursor from the previous page of this list; if the gateway's key has changed since, start \
                 again"
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
                "send JSON as `Content-Type: application/json`, or gRPC as `application/grpc`, and do not compress it"
                    .into()
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
            Self::CrossSite => "a page of another site made your browser send this; nothing was done".into(),
            Self::Refused { reasons, .. } => reasons.join("; "),
            Self::PolicyUnavailable { .. } => {
                "the policies gave no verdict, so the request is refused; the gateway's log has the cause under the \
                 decision id"
                    .into()
            }
            Self::TooManyRequests => {
                "this client has reached its limit of concurrent requests: wait for some to finish".into()
            }
            Self::RateLimited { .. } => {
                "this client has exceeded its request rate: ask less often, or follow changes instead of polling".into()
            }
            Self::Full => "this gateway has reached its limit of concurrent requests; try again".into(),
            Self::Busy { .. } => {
                "too many decisions or changes are in progress, this client's or others'; try again".into()
            }
            Self::AuditUnavailable { .. } => {
                "this gateway cannot write its audit records now, and makes no change without one; nothing was written"
                    .into()
            }
            Self::NotFound { target } => {
                format!("there is no {} {} in namespace {}", target.kind, target.name, target.namespace)
            }
            Self::OwnedByAutoscaler { target, owner, advice } => {
                format!("{owner} sets this {}'s replicas; {advice}", target.kind)
            }
            Self::VersionMismatch { current } => {
                format!("the current version is {current}: read again, and decide whether you still want this")
            }
            Self::IdempotencyKeyReused => {
                "this idempotency key was already used for a different request on this workload: use a new key; nothing \
                 was written"
                    .into()
            }
            Self::Conflict { .. } => {
                "other writers kept changing this target, or it is being deleted and a finalizer keeps it; nothing was \
                 written, try again"
                    .into()
            }
            Self::VersionNotReached => "this gateway has not seen that version yet, try again".into(),
            Self::Unread => {
                "this gateway has not read the cluster since it started, so it can neither show nor change anything; \
                 nothing was written, try again"
                    .into()
            }
            Self::Stale { age } => format!(
                "this gateway last heard from Kubernetes {} s ago, too long to decide a change on; nothing was written",
                age.as_secs()
            ),
            Self::WriteRejected { .. } => {
                "Kubernetes refused this change; the gateway's log has the cause under the request id".into()
            }
            Self::PolicyChanged => "other policies serve now: begin the stream again".into(),
            Self::Draining => "this gateway stops: begin the stream again, with another one".into(),
            Self::Internal { .. } => "the gateway failed; its log has the cause under the request id".into(),
            Self::KubernetesUnavailable { .. } => {
                "Kubernetes did not confirm this change; it may or may not have been stored: read, then try again"
                    .into()
            }
        }
    }
}
