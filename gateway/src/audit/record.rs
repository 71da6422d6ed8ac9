//! The fields of each record. They are a contract with readers of the audit output: `schemas/decision.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use schemars::{JsonSchema, schema_for};
use serde::{Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::RedactedField;
use crate::lines::Preface;
use crate::text::escaped_json;
use crate::trace::{TraceContext, TraceId};

/// The value of `schema` in every record.
pub const SCHEMA: &str = "scalegate.dev/audit/v1";

/// One line of the audit output.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum Record<'a> {
    /// One decision.
    Decision(&'a DecisionRecord<'a>),
    /// One list, with as many decisions as `evaluated` says.
    List(&'a ListRecord<'a>),
    /// What happened to a stream. All records of one stream have the same decision.
    Stream(&'a StreamRecord<'a>),
    /// The input of later decisions, which name it by its digest.
    Input(InputRecord<'a>),
    /// What came of an allowed change.
    Outcome(OutcomeRecord<'a>),
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Names the request in answers and in the log.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub request_id: Uuid,
    /// The address that it came from.
    #[schemars(with = "String")]
    pub peer: SocketAddr,
    /// The trace that it belongs to, by its `traceparent`: 32 digits of lower-case hexadecimal.
    #[serde(rename = "traceId", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TraceId>")]
    pub trace: Option<TraceContext>,
}

/// Which decision a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Names the decision in answers, targets and records.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub decision_id: Uuid,
    /// The request that asked for it.
    #[serde(flatten)]
    pub origin: Origin,
}

/// One decision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "readers of the records see each by its name")]
pub struct DecisionRecord<'a> {
    /// The decision.
    #[serde(flatten)]
    pub subject: Subject,
    /// The instant of the decision, which modules that ask for the time are given.
    #[schemars(with = "String")]
    pub instant: Timestamp,
    /// The client's id.
    pub client_id: &'a str,
    /// The trust domain of the CA that vouches for it.
    pub trust_domain: &'a str,
    /// The serial number of the client's certificate.
    pub serial: &'a str,
    /// `get`, `set`, `release` or `describe`.
    pub action: &'static str,
    /// Whether the request asked for the decision alone.
    pub dry_run: bool,
    /// The kind of the workload; empty where it is about none.
    pub workload_kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `allowed`, `refused`, `busy` or `unavailable`.
    pub outcome: &'static str,
    /// Why there is no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'a str>,
    /// Why it is refused, as the client reads it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(default)]
    pub reasons: &'a [String],
    /// What each module that was asked said, in the set's order.
    pub modules: &'a [ModuleRecord],
    /// Whether a module asked for the time.
    pub asked_time: bool,
    /// The digest of the policy set.
    pub policy_set: &'a str,
    /// How long the evaluation took.
    pub elapsed_micros: u64,
    /// Whether the answer is one that was given before, about objects that did not change since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub cached: bool,
    /// Whether an allowed decision is followed by a change.
    #[serde(skip)]
    pub changes: bool,
    /// The version of the input.
    pub input_version: &'static str,
    /// What the modules read, JSON. Written as field `input`, or as its digest, `inputSha256`.
    #[serde(skip)]
    pub input: &'a str,
    /// Where the name of the input is kept for the next record with it.
    #[serde(skip)]
    pub named: Option<&'a OnceLock<NamedInput>>,
    /// The client's share of the queue.
    #[serde(skip)]
    pub share: &'a Arc<str>,
}

/// An input that records name by its digest.
#[derive(Debug)]
pub struct NamedInput {
    /// The digest as a JSON string.
    pub(super) sha256: String,
    /// Its record.
    pub(super) record: Arc<Preface>,
    /// The record of an answer that was given before, once there is one.
    pub(super) repeated: OnceLock<Template>,
}

/// The text of a record around what differs from one repetition of an answer to the next.
#[derive(Debug)]
pub(super) struct Template {
    before: String,
    after: String,
}

impl Template {
    /// Of the text of `record`; `None` where that has its fields in another order.
    pub(super) fn of(line: &str, record: &DecisionRecord<'_>) -> Option<Self> {
        let (before, after) = line.split_once(&Self::differing(record))?;
        Some(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The text of `record`, which repeats the answer that this was made of.
    pub(super) fn fill(&self, record: &DecisionRecord<'_>) -> Vec<u8> {
        [self.before.as_str(), &Self::differing(record), &self.after].concat().into()
    }

    fn differing(record: &DecisionRecord<'_>) -> String {
        let Subject { decision_id, origin: Origin { request_id, peer, trace } } = record.subject;
        let instant = record.instant;
        let trace = trace.map(|context| context.trace()).map(|id| format!(r#","traceId":"{id}""#)).unwrap_or_default();
        format!(
            r#""decisionId":"{decision_id}","requestId":"{request_id}","peer":"{peer}"{trace},"instant":"{instant}","clientId""#
        )
    }
}

/// What one module said.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModuleRecord {
    /// Its name in `policies.yaml`.
    pub module: String,
    /// Whether it allows the request.
    pub allow: bool,
    /// Its reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub reasons: Vec<String>,
    /// What it attaches.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether reasons or tags exceeded their limits, and were cut or left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub cut: bool,
}

/// One list. Its items are decided one by one and not recorded one by one.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListRecord<'a> {
    /// The decision.
    #[serde(flatten)]
    pub subject: Subject,
    /// The instant of all its decisions.
    #[schemars(with = "String")]
    pub instant: Timestamp,
    /// The client's id.
    pub client_id: &'a str,
    /// The trust domain of the CA that vouches for it.
    pub trust_domain: &'a str,
    /// The serial number of the client's certificate.
    pub serial: &'a str,
    /// The kind of the workloads.
    pub workload_kind: &'a str,
    /// Their namespace; null for all.
    pub namespace: Option<&'a str>,
    /// The label selector.
    pub selector: &'a str,
    /// How many were asked for at most.
    pub limit: usize,
    /// How many were decided.
    pub evaluated: usize,
    /// How many the client may get.
    pub allowed: usize,
    /// How many there was no verdict on.
    pub undecided: usize,
    /// `listed`, `busy` or `unavailable`.
    pub outcome: &'static str,
    /// Why the list is unavailable, or why the first undecided item is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'a str>,
    /// The digest of the policy set.
    pub policy_set: &'a str,
    /// How long it took.
    pub elapsed_micros: u64,
    /// The client's share of the queue.
    #[serde(skip)]
    pub share: &'a Arc<str>,
}

/// What happened to a stream: it was opened, a verdict on one of its workloads changed, or it ended. Its changes are decided
/// one by one, and recorded only where the verdict is another than before.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamRecord<'a> {
    /// The decision.
    #[serde(flatten)]
    pub subject: Subject,
    /// When it happened.
    #[schemars(with = "String")]
    pub instant: Timestamp,
    /// The client's id.
    pub client_id: &'a str,
    /// The trust domain of the CA that vouches for it.
    pub trust_domain: &'a str,
    /// The serial number of the client's certificate.
    pub serial: &'a str,
    /// The kind of the workloads.
    pub workload_kind: &'a str,
    /// Their namespace; null for all.
    pub namespace: Option<&'a str>,
    /// The only workload; null for a list.
    pub name: Option<&'a str>,
    /// The label selector.
    pub selector: &'a str,
    /// What happened.
    pub event: StreamEvent<'a>,
    /// How many were decided so far.
    pub evaluated: usize,
    /// How many the client may get now.
    pub allowed: usize,
    /// How many there is no verdict on now.
    pub undecided: usize,
    /// How many changes were sent so far.
    pub changes: u64,
    /// The digest of the policy set.
    pub policy_set: &'a str,
    /// How long the stream has lasted.
    pub elapsed_micros: u64,
    /// The client's share of the queue.
    #[serde(skip)]
    pub share: &'a Arc<str>,
}

/// What happens to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StreamEvent<'a> {
    /// It begins: everything that there is was decided.
    Opened,
    /// A workload is shown that was not shown before.
    Allowed {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A workload that was shown may no longer be.
    Refused {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// It is over, for this reason.
    Ended(&'static str),
}

/// The digest of an input; the input itself follows in the field `input`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputRecord<'a> {
    /// SHA-256 of the input's bytes, lower-case hexadecimal.
    pub(super) sha256: &'a str,
}

/// What came of an allowed change.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutcomeRecord<'a> {
    /// The decision.
    #[serde(flatten)]
    pub(super) subject: Subject,
    /// When it was known.
    #[schemars(with = "String")]
    pub(super) instant: Timestamp,
    /// `stored`, `released`, `nothing_to_do`, `repeated`, `moved_on`, `rejected`, `forbidden`, `unknown` or `not_attempted`.
    pub(super) outcome: &'static str,
    /// The version of the target as it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<&'a str>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'a str>,
}

fn text<S: Serializer>(value: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// What every record begins with.
#[derive(Serialize, JsonSchema)]
struct Line<'a> {
    /// The version of this contract.
    schema: &'static str,
    /// The name of the gateway.
    gateway: &'a str,
    #[serde(flatten)]
    record: &'a Record<'a>,
}

/// The text of a record, without its input and without a newline.
pub(super) fn line(record: &Record<'_>, gateway: &str) -> String {
    // These types always serialize.
    escaped(serde_json::to_string(&Line { schema: SCHEMA, gateway, record }).unwrap_or_default())
}

/// The same as a JSON value, which can be redacted.
pub(super) fn value(record: &Record<'_>, gateway: &str) -> Value {
    serde_json::to_value(Line { schema: SCHEMA, gateway, record }).unwrap_or_default()
}

/// The same JSON, safe to read on a terminal.
pub(super) fn escaped(json: String) -> String {
    match escaped_json(&json) {
        Cow::Borrowed(_) => json,
        Cow::Owned(escaped) => escaped,
    }
}

/// Adds a field to the JSON object `line`; `json` is the text of its value.
pub(super) fn with_field(mut line: String, field: &str, json: &str) -> String {
    line.pop();
    line.reserve(field.len() + json.len() + 5);
    for part in [",\"", field, "\":", json, "}"] {
        line.push_str(part);
    }
    line
}

/// What follows a record of a decision or of an input.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LineSchema<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    /// What was replaced by keyed hashes, as `audit.redact` says: `hmac:` and the HMAC-SHA256 in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted: Option<Vec<RedactedField>>,
    /// What the modules read; see `policies/schema.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Value>,
    /// Instead of the input: its SHA-256, lower-case hexadecimal. An earlier record of kind `input` has it, unless it is
    /// longer than 16 KiB (256 KiB for a change).
    #[serde(skip_serializing_if = "Option::is_none")]
    input_sha256: Option<String>,
}

/// The JSON Schema of a record, as the text of `schemas/decision.json`.
pub fn schema() -> String {
    format!("{:#}\n", schema_for!(LineSchema<'static>).to_value())
}
