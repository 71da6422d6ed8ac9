//! What a client asks for and what it gets, whichever door it came through.

use std::time::Duration;

use kube::core::Selector;

use crate::policy::{PolicyStatus, Release, Selection, Set};
use crate::replicas::Version;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::stream::Stream;
use super::view::{HistoryView, ListView, ReplicasView};

/// What is asked for.
#[derive(Debug)]
pub(super) enum Operation {
    /// The replicas of one workload, not older than a version where that is given.
    Get { workload: WorkloadRef, at_least: Option<Version> },
    /// The last changes of one workload's count.
    History { workload: WorkloadRef },
    /// The workloads that the client may get.
    List(ListRequest),
    /// To follow what the client may get.
    Watch(Selection),
    /// To set a workload's baseline.
    Set {
        change: WriteRequest<Set>,
        /// How long the answer waits for its replicas to be ready.
        wait: Option<Duration>,
        /// The client's name for the request: one that was stored under it is not stored again.
        idempotency_key: Option<String>,
    },
    /// To stop managing a workload; its count stays.
    Release(WriteRequest<Release>),
    /// Which policies serve.
    ListPolicies,
}

/// What comes of it.
pub(super) enum Answer {
    /// The state of a workload: read, or as a change that was only decided would leave it, or after a release.
    Replicas(Box<ReplicasView>),
    /// A change that was stored, and is not known to be ready: it is applied later.
    Accepted(Box<ReplicasView>),
    /// A change that was stored and waited for: its replicas are ready.
    Ready(Box<ReplicasView>),
    /// The last changes of a workload's count.
    History(HistoryView),
    /// A part of a list.
    List(ListView),
    /// What changes, until the stream ends.
    Stream(Box<Stream>),
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
