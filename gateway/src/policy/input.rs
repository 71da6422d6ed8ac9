//! The document that modules read, made of what is known about a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::Action;
use super::document::{self, API_VERSION, Client, Current, Input, Target, Wanted};
use crate::identity::ClientIdentity;
use crate::replicas::{Observation, Workload};

/// Who asks, as the document says it.
pub(super) fn client(identity: &ClientIdentity) -> Client {
    Client {
        id: identity.id().as_str().to_owned(),
        groups: identity.groups().to_vec(),
        serial: identity.serial().to_owned(),
        not_after: identity.not_after(),
    }
}

/// The whole document. The same facts give the same bytes.
pub(super) fn document<A: Action>(client: Client, action: &A, observation: &Observation) -> Input {
    let deployment = observation.workload.as_deref();
    Input {
        api_version: API_VERSION.into(),
        client,
        action: A::KIND,
        target: Target {
            kind: observation.name.kind.as_str().to_owned(),
            namespace: observation.name.namespace.clone(),
            name: observation.name.name.clone(),
            labels: deployment.map(|it| it.labels.clone()).unwrap_or_default(),
            annotations: deployment.map(|it| it.annotations.clone()).unwrap_or_default(),
            namespace_labels: observation.namespace_labels.as_deref().cloned(),
        },
        current: deployment.map(|deployment| current(deployment, observation)),
        request: action.request(),
    }
}

/// The question whether a client may see which policies serve. It is about no workload.
pub(super) fn describing(client: Client) -> Input {
    let target = Target {
        kind: String::new(),
        namespace: String::new(),
        name: String::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        namespace_labels: None,
    };
    Input {
        api_version: API_VERSION.into(),
        client,
        action: document::Action::Describe,
        target,
        current: None,
        request: None,
    }
}

fn current(deployment: &Workload, observation: &Observation) -> Current {
    Current {
        replicas: deployment.replicas,
        ready: deployment.ready,
        available: deployment.available,
        updated: deployment.updated,
        rollout: deployment.rollout,
        target: observation.target.as_ref().map(|target| Wanted {
            replicas: target.spec.effective_replicas(),
            requested_by: target.spec.requested_by.clone(),
            reason: target.spec.reason.clone(),
        }),
        owners: observation.autoscalers.iter().map(|autoscaler| Arc::unwrap_or_clone(autoscaler.clone())).collect(),
    }
}

/// What modules attach to a decision.
pub(super) type Tags = BTreeMap<String, String>;
