//! Questions and directories of policies for tests.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use prometheus_client::registry::Registry;

use super::Caller;
use super::action::{Effect, Get};
use super::document::{API_VERSION, Action, Client, Current, Input, Request, Target};
use super::evaluator::Asked;
use super::metrics::PolicyMetrics;
use super::permit::{DecisionId, Permit};
use super::rego::testing::Fake;
use super::shared::Shared;
use crate::audit::testing::origin;
use crate::clients::DecisionTurn;
use crate::clients::testing::admission;
use crate::hex;
use crate::identity::fixtures::client_of;
use crate::replicas::{Observation, Rollout};

pub(super) fn labelled(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(super) fn client() -> Client {
    Client {
        id: "uri:spiffe://scalegate.test/ci".to_owned(),
        trust_domain: "scalegate.test".to_owned(),
        groups: vec!["ci".to_owned()],
        serial: "5f1c".to_owned(),
        not_after: Timestamp::UNIX_EPOCH,
    }
}

/// That client, with a request that was let in.
pub(super) fn caller() -> Caller {
    let client = client_of("scalegate.test", "ci");
    Caller { admission: admission(&client), client: Arc::new(client), origin: origin() }
}

/// Evidence that that client may see what was observed.
pub(crate) fn permit(observation: Observation) -> Permit<Get> {
    Permit {
        action: Get { target: observation.name.clone() },
        client: caller().client,
        observation,
        decision: DecisionId::new(),
        tags: BTreeMap::new(),
        pending: std::sync::Mutex::default(),
    }
}

/// A question whose answer is not kept.
pub(super) fn asked(input: Input, effect: Effect) -> Asked<'static, impl FnOnce() -> Input> {
    Asked { input: move || input, facts: None, effect }
}

/// The turn of a client that asks little.
pub(super) fn turn() -> DecisionTurn<'static> {
    DecisionTurn::default()
}

/// The question whether a client may do `action` on Deployment `web` in `namespace`.
pub(super) fn input(action: Action, namespace: &str) -> Input {
    Input {
        api_version: API_VERSION.into(),
        client: client().into(),
        action,
        target: Target {
            kind: "Deployment".to_owned(),
            namespace: namespace.to_owned(),
            name: "web".to_owned(),
            labels: Shared::default(),
            annotations: Shared::default(),
            namespace_labels: None,
        },
        current: Some(Current {
            replicas: 3,
            ready: 3,
            available: 3,
            updated: 3,
            rollout: Rollout::Complete,
            target: None,
            owners: Vec::new(),
        }),
        request: (action == Action::Set).then_some(Request { replicas: 4, duration_seconds: None, reason: None }),
        undecidable: None,
    }
}

pub(super) fn metrics() -> PolicyMetrics {
    PolicyMetrics::register(&mut Registry::default())
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// A module in a directory: its name, its bytes, and further YAML of its entry, such as `, match: {…}`.
pub(super) struct Written {
    pub(super) name: &'static str,
    pub(super) wasm: Vec<u8>,
    pub(super) more: String,
}

/// Enough time for a busy machine.
pub(super) const PATIENT: &str = ", budget: {deadline: 1s}";

pub(super) fn module(name: &'static str, fake: &Fake) -> Written {
    Written { name, wasm: fake.wasm(), more: PATIENT.to_owned() }
}

impl Written {
    pub(super) fn with(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self
    }

    fn entry(&self) -> String {
        let Self { name, wasm, more } = self;
        format!("- {{name: {name}, module: {name}.wasm, sha256: \"{}\", mode: enforce{more}}}\n", sha256(wasm))
    }
}

/// Writes a directory of policies.
pub(super) fn write(directory: &Path, modules: &[Written]) {
    for module in modules {
        fs::write(directory.join(format!("{}.wasm", module.name)), &module.wasm).unwrap();
    }
    let entries: String = modules.iter().map(Written::entry).collect();
    fs::write(directory.join("policies.yaml"), format!("modules:\n{entries}")).unwrap();
}
