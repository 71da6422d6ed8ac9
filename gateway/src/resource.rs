//! The `ReplicaTarget` custom resource.

#![allow(unreachable_pub, reason = "the schema's derive repeats the type where it cannot be reached")]

mod crd;
mod reason;

pub use crd::{CrdError, crd, crd_yaml};
pub use reason::{InvalidReason, MAX_REASON_BYTES, check_reason};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::workload::WorkloadKind;

/// The condition that the Deployment's `spec.replicas` is the wanted count.
pub const SYNCED: &str = "Synced";

/// How many sets with an idempotency key a target remembers.
pub const MAX_KEYED_REQUESTS: usize = 8;

/// How many replicas a Deployment should run, who asked for it and why.
///
/// scalegate's reconciler drives the Deployment of the same name to this count. Deleting the object leaves the
/// Deployment's count as it is.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "scalegate.dev",
    version = "v1alpha1",
    kind = "ReplicaTarget",
    plural = "replicatargets",
    shortname = "rt",
    category = "scalegate",
    namespaced,
    doc = "How many replicas a Deployment should run, who asked for it and why. scalegate drives the Deployment of the same name to this count; deleting the object leaves the count as it is.",
    derive = "PartialEq",
    status = "ReplicaTargetStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Desired",
        type_ = "integer",
        json_path = ".spec.replicas",
        description = "The count that was asked for"
    ),
    printcolumn(
        name = "Current",
        type_ = "integer",
        json_path = ".status.replicas",
        description = "The Deployment's spec.replicas"
    ),
    printcolumn(
        name = "Ready",
        type_ = "integer",
        json_path = ".status.readyReplicas",
        description = "The Deployment's ready replicas"
    ),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.requestedBy", description = "Who asked"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", description = "Why"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name == self.spec.scaleTargetRef.name")
        .message("metadata.name must equal spec.scaleTargetRef.name: a Deployment has one target, which bears its name")
        .field_path(".spec.scaleTargetRef.name")
)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaTargetSpec {
    /// The Deployment; it has the target's own name.
    #[x_kube(validation = Rule::new("self == oldSelf").message("scaleTargetRef is immutable: make another target"))]
    pub scale_target_ref: ScaleTargetRef,
    /// The count that holds when nothing overrides it. Required: omitted is never zero.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// The client id of who asked, such as `uri:spiffe://example.org/ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub requested_by: Option<String>,
    /// Why, in the asker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_REASON_BYTES))]
    #[x_kube(validation = Rule::new(format!("size(bytes(self)) <= {MAX_REASON_BYTES}"))
        .message(format!("the reason is longer than {MAX_REASON_BYTES} bytes").as_str()))]
    pub reason: Option<String>,
    /// The policy decision that permitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub decision_id: Option<String>,
    /// Hashes of the last sets made with an idempotency key, oldest first. A repeated set is not stored again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_KEYED_REQUESTS))]
    pub keyed_requests: Vec<KeyedRequest>,
}

/// A set that had an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyedRequest {
    /// The client and the key: 16 bytes of their SHA-256, in lower-case hexadecimal.
    #[schemars(length(max = 32))]
    pub key: String,
    /// The requested count and reason: 16 bytes of their SHA-256, in lower-case hexadecimal.
    #[schemars(length(max = 32))]
    pub request: String,
}

impl ReplicaTargetSpec {
    /// The count to drive the Deployment to.
    pub fn effective_replicas(&self) -> i32 {
        self.replicas
    }
}

/// The workload whose scale a target sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleTargetRef {
    /// `apps/v1`.
    #[schemars(extend("enum" = ["apps/v1"]))]
    pub api_version: String,
    /// `Deployment`.
    #[schemars(extend("enum" = ["Deployment"]))]
    pub kind: String,
    /// The Deployment's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl ScaleTargetRef {
    /// The workload `name` of a kind.
    pub fn new(kind: WorkloadKind, name: impl Into<String>) -> Self {
        Self { api_version: kind.api_version().to_owned(), kind: kind.as_str().to_owned(), name: name.into() }
    }
}

/// What the reconciler made of the target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaTargetStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The Deployment's `spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The Deployment's ready replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The label selector of the Deployment's pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// `Ready`, `TargetFound`, `Synced`, `Contended`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The last ten changes of the count, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<CountChange>,
}

/// One change of a Deployment's count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CountChange {
    /// When the reconciler wrote it.
    pub at: Time,
    /// The count before.
    pub from: i32,
    /// The count after.
    pub to: i32,
    /// The client id of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Why, in the asker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policy decision that permitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
}

/// A list of conditions in which a type appears once, so that several writers can each keep their own.
fn conditions(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": generator.subschema_for::<Condition>(),
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
