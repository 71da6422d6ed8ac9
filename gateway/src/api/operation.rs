//! What a client asks for and what it gets, whichever door it came through.

use kube::core::Selector;

use crate::policy::{PolicyStatus, Release, Set};
use crate::replicas::Version;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::view::{ListView, ReplicasView};

/// What is asked for.
#[derive(Debug)]
pub(super) enum Operation {
    /// The replicas of one workload, not older than a version where that is given.
    Get { workload: WorkloadRef, at_least: Option<Version> },
    /// The workloads that the client may get.
    List(ListRequest),
    /// To set a workload's baseline.
    Set(WriteRequest<Set>),
    /// To stop managing a workload; its count stays.
    Release(WriteRequest<Release>),
    /// Which policies serve.
    ListPolicies,
}

/// What comes of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// The state of a workload: read, or as a change that was only decided would leave it, or after a release.
    Replicas(Box<ReplicasView>),
    /// A change that was stored. It is applied later.
    Accepted(Box<ReplicasView>),
    /// A part of a list.
    List(ListView),
    /// The policies that serve.
    Policies(PolicyStatus),
}

/// Which version of the target a change is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Whatever it is: the last write wins.
    None,
    /// This one.
    Version(Version),
}

/// A change that is asked for.
#[derive(Debug)]
pub(super) struct WriteRequest<A> {
    pub(super) action: A,
    pub(super) precondition: Precondition,
    /// Decide only.
    pub(super) dry_run: bool,
}

/// A part of a list that is asked for.
#[derive(Debug)]
pub(super) struct ListRequest {
    pub(super) kind: WorkloadKind,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) limit: usize,
    /// The cursor of the part before.
    pub(super) cursor: Option<String>,
}
