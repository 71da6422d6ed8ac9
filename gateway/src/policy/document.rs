//! Policy, version 1: the document that a module reads and the verdict that it gives.
//!
//! These types are the contract; `policies/README.md` explains it to authors, and `policies/schema.json` is generated
//! from it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

use super::shared::Shared;
use crate::workload::WorkloadKind;

pub use crate::identity::Client;

/// The value of [`Input::api_version`].
pub const API_VERSION: &str = "scalegate.dev/v1";

/// What a policy is asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// [`API_VERSION`].
    pub api_version: Cow<'static, str>,
    /// Who asks.
    pub client: Shared<Client>,
    /// What for.
    pub action: Action,
    /// On which Deployment; it need not exist.
    pub target: Target,
    /// The Deployment's state; null where there is no such Deployment.
    pub current: Option<Current>,
    /// What is asked of it; null for an action that changes no count.
    pub request: Option<Request>,
    /// Why this can be decided by nobody: what is known of the workload is not in the document.
    #[serde(skip)]
    pub(crate) undecidable: Option<&'static str>,
}

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// See a Deployment's replicas.
    Get,
    /// Set a Deployment's replicas.
    Set,
    /// Stop managing a Deployment.
    Release,
    /// See the loaded policies.
    Describe,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Set, Self::Release, Self::Describe];

    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Release => "release",
            Self::Describe => "describe",
        }
    }
}

/// The Deployment that is asked about.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its kind, such as `Deployment`; empty where the question is about no workload.
    #[serde(default = "deployment")]
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels; empty where it does not exist.
    pub labels: Shared<BTreeMap<String, String>>,
    /// Its annotations, as far as the gateway is configured to read them.
    pub annotations: Shared<BTreeMap<String, String>>,
    /// The labels of its namespace; null where the gateway cannot see them.
    pub namespace_labels: Option<Shared<BTreeMap<String, String>>>,
}

/// What a question that was recorded before `kind` was there is about.
fn deployment() -> String {
    WorkloadKind::Deployment.as_str().to_owned()
}

/// The Deployment's state.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// `spec.replicas`.
    pub replicas: i32,
    /// Ready replicas.
    pub ready: i32,
    /// Available replicas.
    pub available: i32,
    /// Updated replicas.
    pub updated: i32,
    /// `complete`, `progressing`, `failed` or `paused`.
    pub rollout: crate::replicas::Rollout,
    /// What was last asked of it through the gateway; null where nothing holds.
    pub target: Option<Wanted>,
    /// The autoscalers that drive it: the first 8 by name.
    pub owners: Vec<Shared<crate::replicas::Autoscaler>>,
}

/// What was last asked of a Deployment through the gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The count.
    pub replicas: i32,
    /// The client id of who asked.
    pub requested_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What is asked of a Deployment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The wanted count.
    pub replicas: i32,
    /// How long it should hold, in seconds; always null, since no request can be for a limited time yet.
    pub duration_seconds: Option<u64>,
    /// Why, 512 bytes at most.
    pub reason: Option<String>,
}

/// What a policy answers. An answer of any other shape is an error, and so a no.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verdict {
    /// Whether the client may.
    pub allow: bool,
    /// Why, in words for the client.
    pub reasons: Vec<String>,
    /// Words for the decision log.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The JSON Schema of [`Input`] and [`Verdict`], as the text of `policies/schema.json`.
pub fn schema() -> String {
    let schema = serde_json::json!({ "input": schema_for!(Input), "verdict": schema_for!(Verdict) });
    format!("{schema:#}\n")
}
