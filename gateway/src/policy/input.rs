//! The document that modules read, made of what is known about a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::Decidable;
use super::document::{self, API_VERSION, Client, Current, Input, Target, Wanted};
use super::shared::Shared;
use crate::replicas::{Observation, Workload};

/// The whole document. The same facts give the same bytes.
pub(super) fn document<A: Decidable>(client: &Arc<Client>, action: &A, observation: &Observation) -> Input {
    let workload = observation.workload.as_deref();
    Input {
        api_version: API_VERSION.into(),
        client: client.into(),
        action: A::KIND,
        target: Target {
            kind: observation.name.kind.as_str().to_owned(),
            namespace: observation.name.namespace.clone(),
            name: observation.name.name.clone(),
            labels: workload.map(|it| (&it.labels).into()).unwrap_or_default(),
            annotations: workload.map(|it| (&it.annotations).into()).unwrap_or_default(),
            namespace_labels: observation.namespace_labels.as_ref().map(Shared::from),
        },
        current: workload.map(|workload| current(workload, observation)),
        request: action.request(),
        undecidable: workload.and_then(|workload| {
            let cause = "the workload's labels and annotations exceed the 64 KiB that the gateway keeps";
            workload.metadata_dropped.then_some(cause)
        }),
    }
}

/// The question whether a client may see which policies serve. It is about no workload.
pub(super) fn describing(client: &Arc<Client>) -> Input {
    Input {
        api_version: API_VERSION.into(),
        client: client.into(),
        action: document::Action::Describe,
        target: Target::default(),
        current: None,
        request: None,
        undecidable: None,
    }
}

fn current(workload: &Workload, observation: &Observation) -> Current {
    Current {
        replicas: workload.replicas,
        ready: workload.ready,
        available: workload.available,
        updated: workload.updated,
        rollout: workload.rollout,
        target: observation.target.as_ref().map(|target| Wanted {
            replicas: target.spec.effective_replicas(),
            requested_by: target.spec.requested_by.clone(),
            reason: target.spec.reason.clone(),
        }),
        owners: observation.autoscalers.iter().map(Shared::from).collect(),
    }
}

/// What modules attach to a decision.
pub(super) type Tags = BTreeMap<String, String>;
