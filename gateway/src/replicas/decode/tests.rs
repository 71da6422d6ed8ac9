//! What is kept of an object, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::workload::WorkloadRef;
use serde_json::{Value, json};

use super::*;

fn web() -> Value {
    json!({
        "metadata": {
            "namespace": "demo", "name": "web", "uid": "u1", "resourceVersion": "41", "generation": 3,
            "labels": {"team": "a"},
            "annotations": {
                "scalegate.dev/max": "9",
                "exact": "kept",
                "exactly": "dropped",
                "kubectl.kubernetes.io/last-applied-configuration": "{\"password\":\"hunter2\"}"
            },
            "managedFields": [
                {"manager": "kubectl", "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "helm", "time": "2026-01-02T03:04:07Z", "fieldsV1": {"f:spec": {"f:replicas": {}}},
                 "subresource": "scale"},
                {"manager": "later", "time": "2026-01-02T03:04:09Z", "fieldsV1": {"f:status": {"f:replicas": {}}}}
            ]
        },
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web", "tier": "front"}},
            "template": {"spec": {"containers": [{"name": "c", "env": [{"name": "SECRET", "value": "x"}]}]}}
        },
        "status": {
            "observedGeneration": 3, "replicas": 4, "readyReplicas": 4, "availableReplicas": 4, "updatedReplicas": 4
        }
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut object = web();
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

fn allowed() -> AllowedAnnotations {
    AllowedAnnotations::new(vec!["scalegate.dev/*".into(), "exact".into()])
}

fn read(object: Value, annotations: &AllowedAnnotations) -> Result<Workload, DecodeError> {
    Ok(deployment(serde_json::from_value(object)?, annotations)?)
}

fn decoded(object: Value) -> Workload {
    read(object, &allowed()).unwrap()
}

#[test]
fn a_deployment_keeps_only_what_is_needed() {
    let web = decoded(web());
    assert_eq!(web.name, WorkloadRef::deployment("demo", "web"));
    assert_eq!((web.uid.as_str(), web.resource_version.as_str(), web.generation), ("u1", "41", 3));
    assert_eq!((web.replicas, web.ready, web.available, web.updated), (4, 4, 4, 4));
    assert_eq!(web.rollout, Rollout::Complete);
    assert_eq!(web.selector, "app=web,tier=front");
    assert_eq!(web.annotations.keys().collect::<Vec<_>>(), ["exact", "scalegate.dev/max"]);
}

#[test]
fn the_manager_of_the_count_is_the_last_one_to_set_it() {
    assert_eq!(decoded(web()).replicas_manager.as_deref(), Some("helm"));
    assert_eq!(decoded(with("/metadata/managedFields", json!([]))).replicas_manager, None);
}

#[test]
fn an_absent_count_is_one_as_the_api_server_defaults_it() {
    let mut object = web();
    object["spec"].as_object_mut().unwrap().remove("replicas");
    assert_eq!(decoded(object).replicas, 1);
}

#[test]
fn the_rollout_is_judged_as_kubectl_judges_it() {
    let cases = [
        ("/status/observedGeneration", json!(2), Rollout::Progressing),
        ("/status/updatedReplicas", json!(3), Rollout::Progressing),
        ("/status/replicas", json!(5), Rollout::Progressing),
        ("/status/availableReplicas", json!(3), Rollout::Progressing),
    ];
    for (pointer, value, expected) in cases {
        assert_eq!(decoded(with(pointer, value)).rollout, expected, "{pointer}");
    }
    let mut failed = web();
    failed["status"]["conditions"] =
        json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    assert_eq!(decoded(failed).rollout, Rollout::Failed);
    let mut paused = web();
    paused["spec"]["paused"] = json!(true);
    assert_eq!(decoded(paused).rollout, Rollout::Paused);
}

#[test]
fn the_obstacle_is_the_first_cause_that_the_conditions_name() {
    let mut web = web();
    let reason = |web: &Value| decoded(web.clone()).obstacle.map(|obstacle| obstacle.reason);
    assert_eq!(reason(&web), None);
    let conditions = [
        ("Available", "False", "MinimumReplicasUnavailable"),
        ("Progressing", "False", "ProgressDeadlineExceeded"),
        ("ReplicaFailure", "True", "FailedCreate"),
    ];
    web["status"]["conditions"] = json!([]);
    for (kind, status, expected) in conditions {
        let condition = json!({"type": kind, "status": status, "reason": expected, "message": "é".repeat(600)});
        web["status"]["conditions"].as_array_mut().unwrap().push(condition);
        assert_eq!(reason(&web).as_deref(), Some(expected));
    }
    assert!(decoded(web.clone()).obstacle.unwrap().message.len() <= MOST_OBSTACLE);
    web["status"]["conditions"] =
        json!([{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}]);
    web["spec"]["paused"] = json!(true);
    assert_eq!(reason(&web).as_deref(), Some("Paused"));
}

#[test]
fn labels_and_annotations_that_would_fill_the_memory_are_dropped_and_the_object_says_so() {
    let labels = |count: usize| {
        let labels: serde_json::Map<_, _> = (0..count).map(|number| (format!("l{number:06}"), json!("v"))).collect();
        decoded(with("/metadata/labels", Value::Object(labels)))
    };
    // 8 bytes each.
    let kept = labels(8000);
    assert_eq!((kept.labels.len(), kept.metadata_dropped), (8000, false));
    let dropped = labels(20_000);
    assert_eq!((dropped.labels.len(), dropped.annotations.len(), dropped.metadata_dropped), (0, 0, true));
}

#[test]
fn a_deployment_of_another_shape_is_an_error() {
    for (pointer, value) in [
        ("/spec/replicas", json!("four")),
        ("/metadata/uid", json!(null)),
        ("/spec/selector", json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})),
    ] {
        assert!(read(with(pointer, value), &allowed()).is_err(), "{pointer}");
    }
}

#[test]
fn only_autoscalers_of_deployments_are_kept() {
    let hpa = |version: &str, kind: &str| {
        let object = json!({
            "metadata": {"namespace": "demo", "name": "h", "uid": "u", "resourceVersion": "1"},
            "spec": {"scaleTargetRef": {"apiVersion": version, "kind": kind, "name": "web"}, "maxReplicas": 7}
        });
        autoscaler(serde_json::from_value(object).unwrap())
    };
    let scaling = hpa("apps/v1", "Deployment").unwrap();
    assert_eq!(scaling.workload, WorkloadRef::deployment("demo", "web"));
    assert_eq!((scaling.autoscaler.min, scaling.autoscaler.max), (1, 7));
    assert_eq!(hpa("apps/v1", "StatefulSet"), None);
    assert_eq!(hpa("argoproj.io/v1alpha1", "Deployment"), None);
}

/// An autoscaler with these labels, owner references and conditions.
fn hpa(labels: &Value, owners: &Value, conditions: &Value) -> Autoscaler {
    let object = json!({
        "metadata": {
            "namespace": "demo", "name": "h", "uid": "u", "resourceVersion": "1",
            "labels": labels, "ownerReferences": owners,
        },
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 7},
        "status": {"currentReplicas": 0, "desiredReplicas": 0, "currentMetrics": null, "conditions": conditions},
    });
    let scaling = autoscaler(serde_json::from_value(object).unwrap()).unwrap();
    Arc::unwrap_or_clone(scaling.autoscaler)
}

fn owner(api_version: &str, kind: &str, name: &str, controller: bool) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": "u", "controller": controller})
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "é".repeat(600)})
}

#[test]
fn the_maker_of_an_autoscaler_is_its_controller_or_the_scaled_object_that_a_label_names() {
    let maker = |labels: Value, owners: Value| hpa(&labels, &owners, &json!([])).maker;
    let keda = owner("keda.sh/v1alpha1", "ScaledObject", "web", true);
    let labels = json!({"scaledobject.keda.sh/name": "by-label"});
    assert_eq!(maker(json!({"app": "web"}), json!([])), None);
    assert_eq!(maker(json!({}), json!([keda])), Some(Maker::scaled_object("web")));
    assert_eq!(maker(labels.clone(), json!([])), Some(Maker::scaled_object("by-label")));
    assert_eq!(maker(labels, json!([keda])), Some(Maker::scaled_object("web")));

    let other = owner("v1", "ConfigMap", "settings", false);
    assert_eq!(maker(json!({}), json!([other, keda])), Some(Maker::scaled_object("web")), "the controller");
    let core = Maker { group: String::new(), kind: "ConfigMap".to_owned(), name: "settings".to_owned() };
    assert_eq!(maker(json!({}), json!([other])), Some(core));
    let workload = owner("apps/v1", "Deployment", "web", false);
    assert_eq!(maker(json!({}), json!([workload])), None);
    let long = maker(json!({}), json!([owner("g/v1", &"K".repeat(100_000), "web", true)])).unwrap();
    assert!(long.kind.len() <= MOST_NAME);
}

#[test]
fn the_trouble_of_an_autoscaler_is_what_its_conditions_say_unless_it_is_switched_off() {
    let trouble = |conditions: Value| hpa(&json!({}), &json!([]), &conditions).trouble.map(|trouble| trouble.reason);
    let able = condition("AbleToScale", "True", "SucceededGetScale");
    let limited = condition("ScalingLimited", "False", "DesiredWithinRange");
    let blind = condition("ScalingActive", "False", "FailedGetResourceMetric");
    let off = condition("ScalingActive", "False", "ScalingDisabled");
    assert_eq!(trouble(json!([])), None);
    assert_eq!(trouble(json!([able, condition("ScalingActive", "True", "ValidMetricFound"), limited])), None);
    assert_eq!(trouble(json!([able, off])), None);
    assert_eq!(trouble(json!([able, blind, limited])).as_deref(), Some("FailedGetResourceMetric"));
    let unable = condition("AbleToScale", "False", "FailedGetScale");
    assert_eq!(trouble(json!([blind, unable])).as_deref(), Some("FailedGetScale"));
    let message = hpa(&json!({}), &json!([]), &json!([blind])).trouble.unwrap().message;
    assert!(message.len() <= MOST_OBSTACLE);
}

#[test]
fn a_target_keeps_of_its_metadata_what_names_it() {
    let object = |deletion: Value| {
        json!({
            "metadata": {
                "namespace": "demo", "name": "web", "uid": "u1", "resourceVersion": "41", "generation": 3,
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d1"}],
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}}],
                "deletionTimestamp": deletion
            },
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "replicas": 4
            }
        })
    };
    let read = |object| target(serde_json::from_value(object).unwrap());
    let metadata = read(object(json!(null))).unwrap().metadata;
    assert_eq!((metadata.name.as_deref(), metadata.generation), (Some("web"), Some(3)));
    assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("u1"), Some("41")));
    assert_eq!(metadata.owner_references.unwrap()[0].uid, "d1");
    assert_eq!((metadata.annotations, metadata.managed_fields), (None, None));
    assert_eq!(read(object(json!("2026-01-02T03:04:05Z"))), None, "one that is being deleted");
}
