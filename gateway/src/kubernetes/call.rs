//! What every call to the API server has in common.

use std::time::Duration;

use kube::api::{PatchParams, PostParams};
use thiserror::Error;
use tokio::time::timeout;

/// How long the API server may take to answer a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The name under which the API server records which fields the gateway set.
pub const FIELD_MANAGER: &str = "scalegate";

/// Why a call failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// The API server did not answer in time. A write may have happened.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The API server refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
}

impl CallError {
    /// Returns whether the object is gone, exists already, or is no longer at the version that a write named.
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
    }

    /// Returns whether the API server could not serve the call now: there was no answer, or it was 429 or 5xx.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Api(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
            Self::Timeout(_) | Self::Api(_) => true,
        }
    }
}

/// Bounds `call`: an API server that has stopped must cause an error, not a hang.
pub async fn within<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    Ok(timeout(limit, call).await.map_err(|_| CallError::Timeout(limit))??)
}

/// Bounds a write.
pub async fn write<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    within(WRITE_TIMEOUT, call).await
}

/// The parameters of every create and replace.
pub fn post() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The parameters of every patch.
pub fn patch() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
