//! Files that may change while the gateway runs, and what is loaded from them.
//!
//! They are looked at again and again rather than watched for events: that is a handful of `stat` calls, and it follows
//! the kubelet's `..data` symlink on any file system.

mod fingerprint;
mod follower;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use fingerprint::Fingerprint;
#[cfg(test)]
pub(crate) use follower::RETRIES;
pub(crate) use follower::{Follower, Outlook, Source};

/// Why the newest files do not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReloadFailure {
    /// When they were looked at.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What is wrong with them.
    pub message: String,
}

/// The failure of the last attempt to load, if it failed.
#[derive(Debug, Default)]
pub(crate) struct LastFailure(ArcSwapOption<ReloadFailure>);

impl LastFailure {
    /// Notes a failure; whether its message is another than the one before.
    pub(crate) fn set(&self, message: &str) -> bool {
        let failure = ReloadFailure { at: Timestamp::now(), message: message.to_owned() };
        let before = self.0.swap(Some(Arc::new(failure)));
        before.is_none_or(|before| before.message != message)
    }

    /// Notes a success.
    pub(crate) fn clear(&self) {
        self.0.store(None);
    }

    pub(crate) fn get(&self) -> Option<ReloadFailure> {
        self.0.load_full().map(Arc::unwrap_or_clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_new_once_until_another_comes_or_a_success() {
        let last = LastFailure::default();
        assert!(last.set("torn"));
        assert!(!last.set("torn"));
        assert!(last.set("gone"));
        assert_eq!(last.get().map(|failure| failure.message), Some("gone".to_owned()));
        last.clear();
        assert_eq!(last.get(), None);
        assert!(last.set("gone"));
    }
}
