//! The gateway's answers, as far as the client reads them. Fields that it does not know are kept in the JSON alone.

use serde::Deserialize;
use serde_json::Value;

use super::arguments::WorkloadName;

/// The replicas of one workload.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Replicas {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) spec: Option<Spec>,
    pub(super) status: Option<Status>,
    pub(super) target: Option<TargetView>,
    pub(super) owner: Option<Owner>,
    pub(super) progress: Progress,
    pub(super) age_seconds: f64,
    pub(super) repeated: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    pub(super) replicas: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) ready_replicas: i64,
    pub(super) updated_replicas: i64,
    pub(super) rollout: String,
}

/// What was asked of the workload.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TargetView {
    pub(super) replicas: i64,
    pub(super) requested_by: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) applied: bool,
    pub(super) ready: bool,
    pub(super) obstacle: Option<Obstacle>,
}

/// What keeps a count from being applied, or its replicas from being ready.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Obstacle {
    pub(super) reason: String,
    pub(super) message: String,
}

impl Replicas {
    /// Reads an answer. What has another shape is left out.
    pub(super) fn of(answer: &Value) -> Self {
        Self::deserialize(answer).unwrap_or_else(|_| Self {
            namespace: answer["namespace"].as_str().unwrap_or_default().to_owned(),
            name: answer["name"].as_str().unwrap_or_default().to_owned(),
            ..Self::default()
        })
    }

    /// Which workload it is.
    pub(super) fn workload(&self) -> WorkloadName {
        WorkloadName { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The count that is wanted: the target's, or else the Deployment's own.
    pub(super) fn desired(&self) -> Option<i64> {
        self.target.as_ref().map(|target| target.replicas).or_else(|| self.current())
    }

    /// The Deployment's count.
    pub(super) fn current(&self) -> Option<i64> {
        self.spec.as_ref().map(|spec| spec.replicas)
    }

    /// Returns whether there is a target, as the version says also where the answer shows none.
    pub(super) fn is_managed(&self) -> bool {
        !self.version.starts_with("none:")
    }

    /// How many replicas are ready.
    pub(super) fn ready(&self) -> Option<i64> {
        self.status.as_ref().map(|status| status.ready_replicas)
    }

    /// What is in the way, on one line.
    pub(super) fn obstacle(&self) -> Option<String> {
        let Obstacle { reason, message } = self.progress.obstacle.as_ref()?;
        Some(if message.is_empty() { reason.clone() } else { format!("{reason}: {message}") })
    }

    /// Returns whether waiting longer makes no sense, as the gateway's own `?wait=` decides it.
    pub(super) fn is_stuck(&self) -> bool {
        let rollout = self.status.as_ref().map(|status| status.rollout.as_str());
        let failed = self.progress.applied && matches!(rollout, Some("failed" | "paused"));
        !self.progress.ready && (failed || (!self.progress.applied && self.progress.obstacle.is_some()))
    }

    /// Returns whether this shows the target of `version`, or a later one.
    pub(super) fn has_reached(&self, version: &str) -> bool {
        let (Some((uid, seen)), Some((of, wanted))) = (self.version.split_once(':'), version.split_once(':')) else {
            return false;
        };
        let generation = |text: &str| text.parse::<u64>().unwrap_or_default();
        uid == of && generation(seen) >= generation(wanted)
    }
}

/// An answer without how old it is, so that two can be compared.
pub(super) fn ageless(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("ageSeconds");
    }
    answer
}

#[cfg(test)]
pub(super) mod fixtures {
    //! Answers for the tests of other modules.

    use serde_json::{Value, json};

    /// `demo/web`, which was set from 3 to 5 and is on its way.
    pub(in crate::cli::client) fn web() -> Value {
        json!({
            "kind": "Deployment", "namespace": "demo", "name": "web", "version": "440caa34:1",
            "spec": {"replicas": 5},
            "status": {"readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": 5, "rollout": "progressing"},
            "target": {"replicas": 5, "requestedBy": "uri:spiffe://scalegate.test/operator", "reason": "launch", "decisionId": "d"},
            "owner": {"kind": "ReplicaTarget", "name": "web"},
            "progress": {"accepted": true, "applied": true, "ready": false,
                "obstacle": {"reason": "FailedCreate", "message": "exceeded quota"}},
            "ageSeconds": 0.2,
        })
    }

    /// `shop/cart`, which an autoscaler drives.
    pub(in crate::cli::client) fn cart() -> Value {
        json!({
            "kind": "Deployment", "namespace": "shop", "name": "cart", "version": "none:51834ce1",
            "spec": {"replicas": 2},
            "status": {"readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 2, "rollout": "complete"},
            "target": null,
            "owner": {"kind": "HorizontalPodAutoscaler", "name": "cart-load"},
            "progress": {"accepted": true, "applied": true, "ready": true},
            "ageSeconds": 61.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_is_reached_by_the_same_target_alone() {
        let replicas = |version: &str| Replicas { version: version.to_owned(), ..Replicas::default() };
        assert!(replicas("a:2").has_reached("a:1") && replicas("a:2").has_reached("a:2"));
        for other in ["a:1", "b:3", "none:a", ""] {
            assert!(!replicas(other).has_reached("a:2"), "{other}");
        }
    }

    #[test]
    fn an_answer_of_another_shape_keeps_its_name() {
        let odd = Replicas::of(&json!({"namespace": "demo", "name": "web", "spec": "five"}));
        assert_eq!((odd.workload().to_string().as_str(), odd.desired()), ("demo/web", None));
        let newer = Replicas::of(&json!({"namespace": "demo", "name": "web", "spec": {"replicas": 3, "until": 1}}));
        assert_eq!(newer.desired(), Some(3));
    }

    #[test]
    fn the_version_says_whether_there_is_a_target() {
        assert!(Replicas::of(&fixtures::web()).is_managed() && !Replicas::of(&fixtures::cart()).is_managed());
    }

    #[test]
    fn what_cannot_become_ready_is_stuck() {
        let mut web = Replicas::of(&fixtures::web());
        assert!(!web.is_stuck(), "an obstacle may pass while the rollout goes on");
        web.status = Some(Status { rollout: "failed".to_owned(), ..Status::default() });
        assert!(web.is_stuck());
        web.progress.ready = true;
        assert!(!web.is_stuck());
        assert!(!Replicas::of(&fixtures::cart()).is_stuck());
    }
}
