//! The write of a permitted request: one `ReplicaTarget`.

mod crd;
mod resource;

pub use crd::{CrdError, crd, crd_yaml};
pub use resource::{Change, MAX_REASON_BYTES, ReplicaTarget, ReplicaTargetSpec, ReplicaTargetStatus, ScaleTargetRef};
