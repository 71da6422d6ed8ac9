//! The reconciler's writes, all that there are.
//!
//! Each names the resourceVersion that it was decided on: of a state that has moved on, or of a leader that woke too
//! late, the API server takes none. Nothing is applied or patched on a Deployment, so nothing is owned there.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ObjectMeta, Patch};
use serde_json::{Value, json};
use thiserror::Error;

use crate::kubernetes::call::{self, CallError};
use crate::resource::{ReplicaTarget, ReplicaTargetStatus};
use crate::workload::{WorkloadKind, WorkloadRef};

use super::notice::Notice;
use super::plan::ScaleTo;

/// Why a write did not happen.
#[derive(Debug, Error)]
pub(super) enum WriteError {
    /// The object is not at the version any more that the write was decided on, or is gone; the watch tells.
    #[error("the object has changed since")]
    Outdated,
    /// The API server understood the write and refused it.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// The API server did not answer in time. The write may have happened.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The API server failed, or could not be reached. The write may have happened.
    #[error("the API server could not be asked: {0}")]
    Unavailable(#[source] kube::Error),
    /// The status has no JSON form.
    #[error("the status cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl WriteError {
    /// Every word of [`Self::reason`].
    pub(super) const REASONS: [&'static str; 5] = ["outdated", "refused", "timeout", "unavailable", "json"];

    /// A bounded word for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Outdated => "outdated",
            Self::Refused(_) => "refused",
            Self::Timeout(_) => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::Json(_) => "json",
        }
    }
}

impl From<CallError> for WriteError {
    fn from(error: CallError) -> Self {
        match error {
            error if error.is_outdated() => Self::Outdated,
            CallError::Timeout(limit) => Self::Timeout(limit),
            // Too many requests: the API server did not look at it yet.
            CallError::Api(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                Self::Refused(status.message)
            }
            CallError::Api(error) => Self::Unavailable(error),
        }
    }
}

/// Writes as one process.
#[derive(Clone)]
pub(super) struct Writer {
    client: kube::Client,
    instance: String,
}

impl Writer {
    /// A writer whose events name `instance`.
    pub(super) fn new(client: kube::Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Sets a Deployment's count; answers with the version that the Deployment has since.
    pub(super) async fn scale(&self, name: &WorkloadRef, to: &ScaleTo) -> Result<Option<String>, WriteError> {
        let scale = Scale {
            metadata: ObjectMeta {
                name: Some(name.name.clone()),
                namespace: Some(name.namespace.clone()),
                resource_version: Some(to.resource_version.clone()),
                uid: Some(to.uid.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(ScaleSpec { replicas: Some(to.change.to) }),
            status: None,
        };
        let written = match name.kind {
            WorkloadKind::Deployment => {
                let api: Api<Deployment> = Api::namespaced(self.client.clone(), &name.namespace);
                call::write(api.replace_scale(&name.name, &call::post(), &scale)).await?
            }
        };
        Ok(written.metadata.resource_version)
    }

    /// Replaces the whole status of `target`; answers with the version that the target has since.
    pub(super) async fn status(
        &self,
        target: &ReplicaTarget,
        status: &ReplicaTargetStatus,
    ) -> Result<Option<String>, WriteError> {
        let name = target.metadata.name.as_deref().unwrap_or_default();
        let namespace = target.metadata.namespace.as_deref().unwrap_or_default();
        let patch = json!({
            "metadata": { "resourceVersion": target.metadata.resource_version },
            "status": replacement(target.status.as_ref(), status)?,
        });
        let api: Api<ReplicaTarget> = Api::namespaced(self.client.clone(), namespace);
        let written = call::write(api.patch_status(name, &call::patch(), &Patch::Merge(&patch))).await?;
        Ok(written.metadata.resource_version)
    }

    /// Tells `notice` on the Deployment with `uid`.
    pub(super) async fn event(&self, name: &WorkloadRef, uid: &str, notice: Notice) -> Result<(), WriteError> {
        let event = notice.event(name, uid, &self.instance, Timestamp::now());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &name.namespace);
        Ok(call::write(api.create(&call::post(), &event)).await.map(drop)?)
    }
}

/// The merge patch that makes `new` of `old`: a field that `new` lacks has to be named to go away.
fn replacement(old: Option<&ReplicaTargetStatus>, new: &ReplicaTargetStatus) -> Result<Value, serde_json::Error> {
    let mut patch = serde_json::to_value(new)?;
    if let (Value::Object(old), Some(patch)) = (serde_json::to_value(old)?, patch.as_object_mut()) {
        for field in old.into_iter().map(|(field, _)| field) {
            patch.entry(field).or_insert(Value::Null);
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_the_new_status_lacks_is_removed() {
        let old = ReplicaTargetStatus { replicas: Some(3), ready_replicas: Some(3), ..ReplicaTargetStatus::default() };
        let new = ReplicaTargetStatus { replicas: Some(4), ..ReplicaTargetStatus::default() };
        let patch = replacement(Some(&old), &new).unwrap_or_default();
        assert_eq!(patch, json!({ "replicas": 4, "readyReplicas": null }));
    }
}
