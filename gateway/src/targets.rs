//! The write of a permitted request: one `ReplicaTarget`.

mod resource;

pub use resource::{Change, ReplicaTarget, ReplicaTargetSpec, ReplicaTargetStatus, ScaleTargetRef};
