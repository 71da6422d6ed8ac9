//! What a client can ask for, as policies see it.

use super::document;
use crate::workload::WorkloadRef;

/// Something that a policy decides about.
pub trait Decidable: Send + Sync {
    /// The action's name in the policy document.
    const KIND: document::Action;
    /// What follows if it is allowed.
    const EFFECT: Effect;

    /// The Deployment that it is about.
    fn target(&self) -> &WorkloadRef;

    /// What is asked of the Deployment; `None` for an action that changes no count.
    fn request(&self) -> Option<document::Request> {
        None
    }
}

/// What follows from an action that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The client sees something.
    Read,
    /// The client learns what a change would do.
    DryRun,
    /// The cluster is changed. The decision is on record before.
    Change,
}

/// To learn whether `A` would be allowed, and what it would do. Its permit permits no change.
#[derive(Debug, Clone)]
pub struct DryRun<A>(pub A);

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
    const EFFECT: Effect = Effect::Read;

    fn target(&self) -> &WorkloadRef {
        &self.target
    }
}

impl Decidable for Set {
    const KIND: document::Action = document::Action::Set;
    const EFFECT: Effect = Effect::Change;

    fn target(&self) -> &WorkloadRef {
        &self.target
    }

    fn request(&self) -> Option<document::Request> {
        Some(document::Request { replicas: self.replicas, duration_seconds: None, reason: self.reason.clone() })
    }
}

impl Decidable for Release {
    const KIND: document::Action = document::Action::Release;
    const EFFECT: Effect = Effect::Change;

    fn target(&self) -> &WorkloadRef {
        &self.target
    }
}

impl<A: Decidable> Decidable for DryRun<A> {
    const KIND: document::Action = A::KIND;
    const EFFECT: Effect = Effect::DryRun;

    fn target(&self) -> &WorkloadRef {
        self.0.target()
    }

    fn request(&self) -> Option<document::Request> {
        self.0.request()
    }
}
