//! How an attempt to watch ends.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;
use thiserror::Error;

use super::super::contact::Break;
use super::super::metrics::Restart;
use crate::kubernetes::call::CallError;

/// Why a list or a stream ended.
#[derive(Debug, Error)]
pub(super) enum End {
    #[error("the API server closed the stream")]
    Closed,
    #[error("the API server closed the stream as soon as it was open")]
    ClosedAtOnce,
    #[error("the API server no longer knows the position: {0}")]
    Gone(String),
    #[error("no sign of life for {0:?}")]
    Idle(Duration),
    #[error("forbidden: {0}")]
    Forbidden(String),
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    #[error("{}", .0.message)]
    Status(Box<Status>),
    #[error(transparent)]
    Client(kube::Error),
    #[error("not a list: {0}")]
    NotAList(#[from] serde_json::Error),
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout(limit) => Self::NoAnswer(limit),
            CallError::Api(error) => Self::from(error),
        }
    }
}

impl From<kube::Error> for End {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(status),
            other => Self::Client(other),
        }
    }
}

impl From<Box<Status>> for End {
    fn from(status: Box<Status>) -> Self {
        // The second is how an API server answers whose storage was put back to an earlier state.
        let too_large = |status: &Status| {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            causes.into_iter().any(|cause| cause.reason == "ResourceVersionTooLarge")
        };
        match status.code {
            410 => Self::Gone(status.message),
            403 => Self::Forbidden(status.message),
            _ if too_large(&status) => Self::Gone(status.message),
            _ => Self::Status(status),
        }
    }
}

impl End {
    /// The label of the metric.
    pub(super) fn reason(&self) -> Restart {
        match self {
            Self::Closed | Self::ClosedAtOnce => Restart::Closed,
            Self::Gone(_) => Restart::Gone,
            Self::Idle(_) => Restart::Idle,
            Self::Forbidden(_) => Restart::Forbidden,
            Self::NoAnswer(_) | Self::Status(_) | Self::Client(_) | Self::NotAList(_) => Restart::Error,
        }
    }

    /// What the end says about the cache; `None` for an end in good order, which is a sign of life like any other: the
    /// next stream goes on from there.
    pub(super) fn how(&self) -> Option<Break> {
        match self {
            Self::Closed => None,
            Self::Gone(_) => Some(Break::Missed),
            Self::Idle(_) => Some(Break::Silent),
            _ => Some(Break::Seen),
        }
    }

    /// With all causes: the client says what failed only in the innermost one.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}
