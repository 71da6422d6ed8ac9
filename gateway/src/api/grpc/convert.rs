//! Messages and operations: what a client writes is checked as at the door of HTTP, and an empty text is an absent one.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::error::Error;
use crate::api::operation::{Answer, ListRequest, Operation, Precondition, WriteRequest};
use crate::api::stream::StreamItem;
use crate::api::view::{ListView, ReplicasView};
use crate::api::{fields, selector};
use crate::policy::{Release, Selection, Set};
use crate::proto::v1::watch_replicas_response::Event;
use crate::proto::v1::{
    Change, GetReplicasRequest, GetReplicasResponse, Heartbeat, ListChangesRequest, ListChangesResponse,
    ListPoliciesResponse, ListReplicasRequest, ListReplicasResponse, Obstacle, Owner, PolicyModule, Progress,
    ReleaseReplicasRequest, ReleaseReplicasResponse, Replicas, ReplicasStatus, Rollout, SetReplicasRequest,
    SetReplicasResponse, Synced, Target, WatchReplicasRequest, WatchReplicasResponse, Workload,
};
use crate::replicas;
use crate::workload::{WorkloadKind, WorkloadRef};

pub(super) fn list(message: ListReplicasRequest) -> Result<Operation, Error> {
    let limit = match message.page_size {
        0 => fields::MAX_LIMIT,
        size => fields::limit("page_size", usize::try_from(size).ok())?,
    };
    let selector =
        selector::parse(&message.label_selector).map_err(|error| fields::invalid_parameter("label_selector", error))?;
    Ok(Operation::List(ListRequest {
        kind: kind(&message.kind)?,
        namespace: given(message.namespace).map(|namespace| fields::namespace(&namespace)).transpose()?,
        selector,
        limit,
        cursor: given(message.page_token),
    }))
}

pub(super) fn get(message: GetReplicasRequest) -> Result<Operation, Error> {
    let workload = workload(message.workload)?;
    Ok(Operation::Get { workload, at_least: version("at_least_version", message.at_least_version)? })
}

pub(super) fn history(message: ListChangesRequest) -> Result<Operation, Error> {
    Ok(Operation::History { workload: workload(message.workload)? })
}

pub(super) fn watch(message: WatchReplicasRequest) -> Result<Operation, Error> {
    let WatchReplicasRequest { workload: one, kind: of_kind, namespace, label_selector } = message;
    if one.is_some() {
        if [&of_kind, &namespace, &label_selector].iter().any(|text| !text.is_empty()) {
            return Err(fields::invalid_parameter("workload", "stands alone: it names its kind and namespace"));
        }
        return Ok(Operation::Watch(Selection::One(workload(one)?)));
    }
    let selector =
        selector::parse(&label_selector).map_err(|error| fields::invalid_parameter("label_selector", error))?;
    let namespace = given(namespace).map(|namespace| fields::namespace(&namespace)).transpose()?;
    Ok(Operation::Watch(Selection::Many { kind: kind(&of_kind)?, namespace, selector }))
}

pub(super) fn set(message: SetReplicasRequest, limit: Duration) -> Result<Operation, Error> {
    unsupported("duration", message.duration.is_some())?;
    unsupported("start_time", message.start_time.is_some())?;
    let action = Set {
        target: workload(message.workload)?,
        replicas: count(message.replicas)?,
        reason: given(message.reason).map(fields::reason).transpose()?,
    };
    let wait = message.wait.map(|wait| duration("wait", wait)).transpose()?;
    let wait = wait.map(|wait| fields::wait("wait", wait, limit)).transpose()?;
    if wait.is_some() && message.dry_run {
        return Err(fields::invalid_parameter("wait", "makes no sense with dry_run: nothing is stored"));
    }
    let key = given(message.idempotency_key);
    let idempotency_key = key.map(|key| fields::idempotency_key(&key)).transpose()?;
    let (precondition, dry_run) = (precondition(message.if_version)?, message.dry_run);
    Ok(Operation::Set { change: WriteRequest { action, precondition, dry_run }, wait, idempotency_key })
}

pub(super) fn release(message: ReleaseReplicasRequest) -> Result<Operation, Error> {
    unsupported("idempotency_key", !message.idempotency_key.is_empty())?;
    let action = Release { target: workload(message.workload)? };
    Ok(Operation::Release(WriteRequest {
        action,
        precondition: precondition(message.if_version)?,
        dry_run: message.dry_run,
    }))
}

fn workload(message: Option<Workload>) -> Result<WorkloadRef, Error> {
    let message = message.ok_or_else(|| Error::invalid("invalid_name", "`workload` is missing"))?;
    fields::workload(kind(&message.kind)?, &message.namespace, &message.name)
}

fn kind(text: &str) -> Result<WorkloadKind, Error> {
    if text.is_empty() {
        return Ok(WorkloadKind::Deployment);
    }
    let served = || WorkloadKind::ALL.map(WorkloadKind::as_str).join(", ");
    WorkloadKind::named(text)
        .ok_or_else(|| Error::invalid("invalid_name", format!("a workload's kind is one of {}", served())))
}

/// Omitted is never zero.
fn count(replicas: Option<i32>) -> Result<i32, Error> {
    let wrong = match replicas {
        Some(replicas) if replicas >= 0 => return Ok(replicas),
        Some(replicas) => format!("is {replicas}"),
        None => "is missing".to_owned(),
    };
    let detail = format!("`replicas` {wrong}: it takes a whole number from 0 to {}", i32::MAX);
    Err(Error::invalid("invalid_replicas", detail))
}

fn duration(name: &str, value: prost_types::Duration) -> Result<Duration, Error> {
    Duration::try_from(value).map_err(|error| fields::invalid_parameter(name, error))
}

fn version(name: &str, text: String) -> Result<Option<replicas::Version>, Error> {
    given(text).map(|text| fields::version(name, &text)).transpose()
}

/// The stable code is that of HTTP, where `If-Match` says the same.
fn precondition(if_version: String) -> Result<Precondition, Error> {
    let Some(text) = given(if_version) else { return Ok(Precondition::None) };
    let invalid = |_| Error::invalid("invalid_if_match", "`if_version` takes a version as an earlier answer gave it");
    text.parse().map(Precondition::Version).map_err(invalid)
}

/// proto3 has no absent text.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// To ignore what narrows a request would be to do what was not asked for.
fn unsupported(what: &'static str, given: bool) -> Result<(), Error> {
    if given { Err(Error::NotImplemented { what }) } else { Ok(()) }
}

pub(super) fn listed(answer: Answer) -> Option<ListReplicasResponse> {
    let Answer::List(ListView { items, undecided, r#continue }) = answer else { return None };
    Some(ListReplicasResponse {
        replicas: items.into_iter().map(Replicas::from).collect(),
        next_page_token: r#continue.unwrap_or_default(),
        undecided: u32::try_from(undecided).unwrap_or(u32::MAX),
    })
}

pub(super) fn got(answer: Answer) -> Option<GetReplicasResponse> {
    let Answer::Replicas(view) = answer else { return None };
    Some(GetReplicasResponse { replicas: Some((*view).into()) })
}

pub(super) fn event(item: StreamItem) -> WatchReplicasResponse {
    let event = match item {
        StreamItem::Replicas(rendered) => Event::Replicas(rendered.view.clone().into()),
        StreamItem::Gone(WorkloadRef { kind, namespace, name }) => {
            Event::Gone(Workload { kind: kind.as_str().to_owned(), namespace, name })
        }
        StreamItem::Synced { undecided } => {
            Event::Synced(Synced { undecided: u32::try_from(undecided).unwrap_or(u32::MAX) })
        }
        StreamItem::Heartbeat { age_seconds } => Event::Heartbeat(Heartbeat { age_seconds }),
    };
    WatchReplicasResponse { event: Some(event) }
}

pub(super) fn accepted(answer: Answer) -> Option<SetReplicasResponse> {
    let (Answer::Accepted(view) | Answer::Ready(view) | Answer::Replicas(view)) = answer else { return None };
    let (decision_id, dry_run) = (view.decision_id.clone().unwrap_or_default(), view.dry_run);
    let repeated = view.repeated;
    Some(SetReplicasResponse { replicas: Some((*view).into()), decision_id, dry_run, repeated })
}

pub(super) fn released(answer: Answer) -> Option<ReleaseReplicasResponse> {
    let Answer::Replicas(view) = answer else { return None };
    let (decision_id, dry_run) = (view.decision_id.clone().unwrap_or_default(), view.dry_run);
    Some(ReleaseReplicasResponse { replicas: Some((*view).into()), decision_id, dry_run })
}

pub(super) fn changes(answer: Answer) -> Option<ListChangesResponse> {
    let Answer::History(history) = answer else { return None };
    let changes = history.changes.into_iter().map(|change| Change {
        at: Some(timestamp(change.at)),
        from: change.from,
        to: change.to,
        requested_by: change.requested_by.unwrap_or_default(),
        reason: change.reason.unwrap_or_default(),
        decision_id: change.decision_id.unwrap_or_default(),
    });
    Some(ListChangesResponse { changes: changes.collect() })
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}

pub(super) fn policies(answer: Answer) -> Option<ListPoliciesResponse> {
    let Answer::Policies(status) = answer else { return None };
    let modules = status.modules.into_iter().map(|module| PolicyModule {
        name: module.name,
        sha256: module.sha256,
        mode: module.mode.to_owned(),
    });
    Some(ListPoliciesResponse {
        digest: status.digest,
        since: Some(timestamp(status.since)),
        modules: modules.collect(),
        last_error: status.last_error.map(|failure| failure.message).unwrap_or_default(),
    })
}

impl From<ReplicasView> for Replicas {
    fn from(view: ReplicasView) -> Self {
        Self {
            workload: Some(Workload { kind: view.kind.to_owned(), namespace: view.namespace, name: view.name }),
            version: view.version,
            replicas: view.spec.map(|spec| spec.replicas).unwrap_or_default(),
            status: view.status.map(|status| ReplicasStatus {
                ready_replicas: status.ready_replicas,
                available_replicas: status.available_replicas,
                updated_replicas: status.updated_replicas,
                rollout: Rollout::from(status.rollout).into(),
            }),
            target: view.target.map(|target| Target {
                replicas: target.replicas,
                requested_by: target.requested_by.unwrap_or_default(),
                reason: target.reason.unwrap_or_default(),
                decision_id: target.decision_id.unwrap_or_default(),
            }),
            owner: view.owner.map(|owner| Owner { kind: owner.kind, name: owner.name }),
            progress: Some(Progress {
                accepted: view.progress.accepted,
                applied: view.progress.applied,
                ready: view.progress.ready,
                obstacle: view
                    .progress
                    .obstacle
                    .map(|replicas::Obstacle { reason, message }| Obstacle { reason, message }),
            }),
            age_seconds: view.age_seconds,
        }
    }
}

impl From<replicas::Rollout> for Rollout {
    fn from(rollout: replicas::Rollout) -> Self {
        match rollout {
            replicas::Rollout::Complete => Self::Complete,
            replicas::Rollout::Progressing => Self::Progressing,
            replicas::Rollout::Failed => Self::Failed,
            replicas::Rollout::Paused => Self::Paused,
        }
    }
}
