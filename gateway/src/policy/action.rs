//! What a client can ask for, as policies see it.

use super::document;
use crate::workload::WorkloadRef;

/// Something that a policy decides about.
pub trait Decidable: Send + Sync {
    /// The action's name in the policy document.
    const KIND: document::Action;

    /// The Deployment that it is about.
    fn target(&self) -> &WorkloadRef;

    /// What is asked of the Deployment; `None` for an action that changes no count.
    fn request(&self) -> Option<document::Request> {
        None
    }
}

/// To see a Deployment's replicas.
#[derive(Debug, Clone)]
pub struct Get {
    /// The Deployment.
    pub target: WorkloadRef,
}

/// To set a Deployment's baseline.
#[derive(Debug, Clone)]
pub struct Set {
    /// The Deployment.
    pub target: WorkloadRef,
    /// The wanted count, 0 or more.
    pub replicas: i32,
    /// Why, in the asker's words.
    pub reason: Option<String>,
}

/// To stop managing a Deployment; its count stays.
#[derive(Debug, Clone)]
pub struct Release {
    /// The Deployment.
    pub target: WorkloadRef,
}

impl Decidable for Get {
    const KIND: document::Action = document::Action::Get;

    fn target(&self) -> &WorkloadRef {
        &self.target
    }
}

impl Decidable for Set {
    const KIND: document::Action = document::Action::Set;

    fn target(&self) -> &WorkloadRef {
        &self.target
    }

    fn request(&self) -> Option<document::Request> {
        Some(document::Request { replicas: self.replicas, duration_seconds: None, reason: self.reason.clone() })
    }
}

impl Decidable for Release {
    const KIND: document::Action = document::Action::Release;

    fn target(&self) -> &WorkloadRef {
        &self.target
    }
}
