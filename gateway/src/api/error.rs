//! What can go wrong with a request, and what a client is told of it.

mod detail;
#[cfg(test)]
pub(super) mod documented;
mod kind;

use std::time::Duration;

use thiserror::Error;

use crate::clients::Exceeded;
use crate::identity::IdentityError;
use crate::policy::{DecisionId, Denied};
use crate::workload::WorkloadRef;

pub use self::kind::ErrorKind;

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
    /// A page of another site made a browser send the request.
    #[error("a page of another site sent the request")]
    CrossSite,
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
    /// The client has as many requests under way as one client may.
    #[error("too many requests of the client are under way")]
    TooManyRequests,
    /// The client has made as many requests as one client may in a second.
    #[error("too many requests of the client in a second")]
    RateLimited {
        /// How long until it may make the next one.
        wait: Duration,
    },
    /// All clients together have as many requests under way as the gateway takes.
    #[error("too many requests are under way")]
    Full,
    /// The policies allow a change whose decision cannot be recorded.
    #[error("the record of decision {decision} cannot be written")]
    AuditUnavailable {
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
        /// The autoscaler's kind and name, with those of the object that made it.
        owner: String,
        /// What to do instead, for the client.
        advice: String,
    },
    /// The target is not at the version that the client named.
    #[error("at version {current}, not at the one asked for")]
    VersionMismatch {
        /// The current version.
        current: String,
    },
    /// The client has used the idempotency key for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// Other writers kept changing the target.
    #[error("{target} kept changing")]
    Conflict {
        /// The Deployment.
        target: WorkloadRef,
    },
    /// The cache did not reach the version that the client named in time.
    #[error("the cache is not yet at the version asked for")]
    VersionNotReached,
    /// The gateway has not read the cluster since it started.
    #[error("the cluster has not been read yet")]
    Unread,
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
    /// Other policies serve than those that a stream began with.
    #[error("other policies serve now")]
    PolicyChanged,
    /// The gateway stops.
    #[error("the gateway stops")]
    Draining,
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

impl Error {
    /// A fault in the request: its stable `code`, and a `detail` for the client.
    pub(super) fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(kind::INVALID.contains(&code), "{code} is missing from INVALID");
        Self::Invalid { code, detail: detail.into() }
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
            Self::Refused { decision, .. }
            | Self::PolicyUnavailable { decision, .. }
            | Self::AuditUnavailable { decision }
            | Self::Busy { decision } => Some(*decision),
            _ => None,
        }
    }

    /// After how many seconds trying again makes sense, where it does.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::VersionNotReached
            | Self::Conflict { .. }
            | Self::PolicyUnavailable { .. }
            | Self::TooManyRequests
            | Self::Full
            | Self::PolicyChanged
            | Self::Draining
            | Self::Busy { .. } => Some(1),
            Self::RateLimited { wait } => Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            Self::Unread
            | Self::Stale { .. }
            | Self::AuditUnavailable { .. }
            | Self::KubernetesUnavailable { .. }
            | Self::DeadlineExceeded { .. } => Some(5),
            _ => None,
        }
    }
}

impl From<Exceeded> for Error {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Client => Self::TooManyRequests,
            Exceeded::All => Self::Full,
            Exceeded::Rate { wait } => Self::RateLimited { wait },
        }
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused { decision, reasons } => Self::Refused { decision, reasons },
            Denied::Unread => Self::Unread,
            Denied::Busy { decision } => Self::Busy { decision },
            Denied::Unrecorded { decision } => Self::AuditUnavailable { decision },
            Denied::Unavailable { decision, cause } => Self::PolicyUnavailable { decision, cause },
        }
    }
}
