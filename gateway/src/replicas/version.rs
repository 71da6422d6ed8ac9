//! The version of a target, as `ETag`, `If-Match` and `atLeastVersion` carry it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::resource::ReplicaTarget;

/// The version of the wanted replicas of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// There is a target: its uid and generation, written `uid:generation`.
    Target {
        /// The target's uid.
        uid: String,
        /// The target's generation.
        generation: i64,
    },
    /// There is no target: the workload's uid, written `none:uid`.
    Untargeted {
        /// The workload's uid.
        workload_uid: String,
    },
}

impl Version {
    /// The version of a target that the API server has stored; `None` for one that it has not.
    pub fn of(target: &ReplicaTarget) -> Option<Self> {
        Some(Self::Target { uid: target.metadata.uid.clone()?, generation: target.metadata.generation? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { uid, generation } => write!(f, "{uid}:{generation}"),
            Self::Untargeted { workload_uid } => write!(f, "none:{workload_uid}"),
        }
    }
}

/// The text is no version that this gateway ever gave out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a version: give back the ETag of an earlier answer, `<uid>:<generation>` or `none:<uid>`")]
pub struct InvalidVersion(String);

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let invalid = || InvalidVersion(text.chars().take(80).collect());
        // Only as Kubernetes writes it: any other form of the same uid would equal none.
        let uid = |text: &str| match text.parse::<uuid::Uuid>() {
            Ok(uid) if uid.hyphenated().to_string() == text => Ok(text.to_owned()),
            _ => Err(invalid()),
        };
        match text.split_once(':').ok_or_else(invalid)? {
            ("none", deployment) => Ok(Self::Untargeted { workload_uid: uid(deployment)? }),
            (target, generation) => Ok(Self::Target {
                uid: uid(target)?,
                generation: generation.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_back_as_it_was_written() {
        for text in ["5f0f5c6e-5c7a-4a39-9b0c-3d1f0b1a2c3d:7", "none:5f0f5c6e-5c7a-4a39-9b0c-3d1f0b1a2c3d"] {
            assert_eq!(text.parse::<Version>().map(|version| version.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_text_is_no_version() {
        for text in [
            "",
            "7",
            "none:",
            "x:1",
            "5f0f5c6e-5c7a-4a39-9b0c-3d1f0b1a2c3d:0",
            "none:x",
            "a:b:c",
            "none:5F0F5C6E-5c7a-4a39-9b0c-3d1f0b1a2c3d",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }
}
