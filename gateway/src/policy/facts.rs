//! Whether two observations are of the same objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::replicas::{Autoscaler, Observation, Workload};
use crate::resource::ReplicaTarget;
use crate::workload::WorkloadRef;

/// The objects that a document, or a view, was made from.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Only where there is no workload: each is observed under its own name alone.
    name: Option<WorkloadRef>,
    workload: Option<Weak<Workload>>,
    target: Option<Weak<ReplicaTarget>>,
    autoscalers: Vec<Weak<Autoscaler>>,
    namespace_labels: Option<Weak<BTreeMap<String, String>>>,
}

impl Facts {
    /// Those of `observation`.
    pub(crate) fn of(observation: &Observation) -> Self {
        // The age is no part of a document.
        let Observation { name, workload, target, autoscalers, namespace_labels, age: _ } = observation;
        Self {
            name: workload.is_none().then(|| name.clone()),
            workload: workload.as_ref().map(Arc::downgrade),
            target: target.as_ref().map(Arc::downgrade),
            autoscalers: autoscalers.iter().map(Arc::downgrade).collect(),
            namespace_labels: namespace_labels.as_ref().map(Arc::downgrade),
        }
    }

    /// Returns whether `observation` is of the very same objects.
    pub(crate) fn are_those_of(&self, observation: &Observation) -> bool {
        let Observation { name, workload, target, autoscalers, namespace_labels, age: _ } = observation;
        same(self.workload.as_ref(), workload.as_ref())
            && same(self.target.as_ref(), target.as_ref())
            && same(self.namespace_labels.as_ref(), namespace_labels.as_ref())
            && self.autoscalers.len() == autoscalers.len()
            && self.autoscalers.iter().zip(autoscalers).all(|(kept, now)| same(Some(kept), Some(now)))
            && self.name.as_ref().is_none_or(|of| of == name)
    }
}

/// Returns whether both are the same object, or both are absent.
fn same<T>(kept: Option<&Weak<T>>, now: Option<&Arc<T>>) -> bool {
    match (kept, now) {
        (Some(kept), Some(now)) => std::ptr::eq(kept.as_ptr(), Arc::as_ptr(now)),
        (None, None) => true,
        _ => false,
    }
}
