//! What came of a question, in the same words whichever door it came through.

use anyhow::{Context, Result, ensure};
use prost::Message;
use scalegate::proto::v1::{
    GetReplicasResponse, ListChangesResponse, ListPoliciesResponse, ListReplicasResponse, ReleaseReplicasResponse,
    Replicas, Rollout, SetReplicasResponse,
};
use scalegate_tests::client::Answer;
use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;

use super::ask::{Ask, Known};

/// What a client learns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// The stable code, or `ok`.
    pub(super) code: String,
    /// The policy's reasons.
    pub(super) reasons: Vec<String>,
    /// After how many seconds trying again makes sense.
    pub(super) retry_after: Option<u64>,
    /// Whether a decision was named.
    pub(super) is_decided: bool,
    /// The answer, without what differs between any two answers.
    pub(super) answer: Value,
}

impl Outcome {
    /// The outcome of an answer to HTTP; it takes down what later questions refer to.
    pub(super) fn of_http(answer: &Answer, known: &mut Known) -> Self {
        let document = answer.json();
        if answer.status < 400 {
            return Self::of_answer(document, known);
        }
        let reasons = document["reasons"].as_array().cloned().unwrap_or_default();
        Self {
            code: answer.code(),
            reasons: reasons.iter().map(|reason| text(reason).replace(&known.namespace, "NAMESPACE")).collect(),
            retry_after: answer.header("retry-after").parse().ok(),
            is_decided: document["decisionId"].is_string(),
            answer: Value::Null,
        }
    }

    /// The outcome of an answer to gRPC, which refuses in its headers alone.
    pub(super) fn of_grpc(ask: &Ask, answer: &Answer, known: &mut Known) -> Result<Self> {
        let status = Status::from_header_map(&answer.trailers);
        if let Some(status) = &status {
            ensure!(status.code() == tonic::Code::Ok, "an error in the trailers of an answer: {status}");
            return Ok(Self::of_answer(document(ask, &answer.body)?, known));
        }
        ensure!(answer.body.is_empty(), "a refusal with a body");
        let status = Status::from_header_map(&answer.headers).context("an answer without a status")?;
        ensure!(status.details().len() <= 4096, "details of {} bytes", status.details().len());
        let details = status.get_error_details();
        let info = details.error_info().context("no ErrorInfo")?;
        ensure!(info.domain == "scalegate.dev" && info.metadata.contains_key("requestId"), "{info:?}");
        let violations = details.precondition_failure().map(|failure| failure.violations.clone()).unwrap_or_default();
        let reasons = violations.into_iter().filter(|violation| violation.r#type == "POLICY");
        Ok(Self {
            code: info.reason.clone(),
            reasons: reasons.map(|reason| reason.description.replace(&known.namespace, "NAMESPACE")).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay).map(|delay| delay.as_secs()),
            is_decided: info.metadata.contains_key("decisionId"),
            answer: Value::Null,
        })
    }

    fn of_answer(mut answer: Value, known: &mut Known) -> Self {
        if let Some(version) = answer["version"].as_str().filter(|version| *version != known.version) {
            known.stale = std::mem::replace(&mut known.version, version.to_owned());
        }
        if let Some(cursor) = answer["continue"].as_str() {
            cursor.clone_into(&mut known.cursor);
            answer["continue"] = "CURSOR".into();
        }
        let is_decided = answer["decisionId"].is_string();
        strip(&mut answer);
        let answer = serde_json::from_str(&answer.to_string().replace(&known.namespace, "NAMESPACE"));
        Self {
            code: "ok".into(),
            reasons: Vec::new(),
            retry_after: None,
            is_decided,
            answer: answer.unwrap_or_default(),
        }
    }
}

/// Takes out what is never the same twice.
fn strip(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => {
            fields.retain(|name, _| !["version", "ageSeconds", "decisionId", "since"].contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        _ => {}
    }
}

/// The message of an answer as the document that HTTP would give.
fn document(ask: &Ask, framed: &[u8]) -> Result<Value> {
    let message = framed.get(5..).context("no message")?;
    Ok(match ask {
        Ask::Get { .. } => view(GetReplicasResponse::decode(message)?.replicas)?,
        Ask::List { .. } => {
            let list = ListReplicasResponse::decode(message)?;
            let items: Result<Vec<_>> = list.replicas.into_iter().map(|replicas| view(Some(replicas))).collect();
            json!({"items": items?, "undecided": list.undecided, "continue": given(&list.next_page_token)})
        }
        Ask::Set { .. } | Ask::Unreadable { .. } | Ask::TooLarge => {
            let SetReplicasResponse { replicas, decision_id, dry_run, repeated } =
                SetReplicasResponse::decode(message)?;
            ensure!(!repeated, "there is no key");
            changed(view(replicas)?, &decision_id, dry_run)
        }
        Ask::Release { .. } => {
            let ReleaseReplicasResponse { replicas, decision_id, dry_run } = ReleaseReplicasResponse::decode(message)?;
            changed(view(replicas)?, &decision_id, dry_run)
        }
        Ask::History { workload } => {
            let changes = ListChangesResponse::decode(message)?.changes;
            ensure!(changes.is_empty(), "it was not changed: {changes:?}");
            json!({"kind": "Deployment", "namespace": "NAMESPACE", "name": workload.name, "changes": []})
        }
        Ask::Policies => {
            let ListPoliciesResponse { digest, since, modules, last_error } = ListPoliciesResponse::decode(message)?;
            ensure!(since.is_some(), "it says no time");
            let modules = modules
                .into_iter()
                .map(|module| json!({"name": module.name, "sha256": module.sha256, "mode": module.mode}));
            json!({"digest": digest, "modules": modules.collect::<Vec<_>>(), "lastError": given(&last_error)})
        }
    })
}

fn changed(mut view: Value, decision_id: &str, dry_run: bool) -> Value {
    view["decisionId"] = given(decision_id);
    if dry_run {
        view["dryRun"] = true.into();
    }
    view
}

fn view(replicas: Option<Replicas>) -> Result<Value> {
    let replicas = replicas.context("no replicas")?;
    let (workload, status) = (replicas.workload.context("no workload")?, replicas.status.context("no status")?);
    let progress = replicas.progress.context("no progress")?;
    let rollout = Rollout::try_from(status.rollout)?.as_str_name().trim_start_matches("ROLLOUT_").to_lowercase();
    Ok(json!({
        "kind": workload.kind, "namespace": workload.namespace, "name": workload.name, "version": replicas.version,
        "spec": {"replicas": replicas.replicas},
        "status": {
            "readyReplicas": status.ready_replicas, "availableReplicas": status.available_replicas,
            "updatedReplicas": status.updated_replicas, "rollout": rollout,
        },
        "target": replicas.target.map(|target| json!({
            "replicas": target.replicas, "requestedBy": target.requested_by, "reason": given(&target.reason),
            "decisionId": target.decision_id,
        })),
        "owner": replicas.owner.map(|owner| json!({"kind": owner.kind, "name": owner.name})),
        "progress": {"accepted": progress.accepted, "applied": progress.applied, "ready": progress.ready},
        "ageSeconds": replicas.age_seconds,
    }))
}

/// An empty text is an absent one.
fn given(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
