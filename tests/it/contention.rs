//! Counts that others set too: autoscalers, the objects that made them, and field managers that never stop.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use scalegate::proto::v1::{SetReplicasRequest, Workload};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::poll;
use scalegate_tests::suite::{self, Shared};
use serde_json::{Value, json};

/// The condition `Contended` of a target, if it is true.
fn contended(target: &ReplicaTarget) -> Option<&Condition> {
    let conditions = target.status.as_ref().map_or(&[][..], |status| &status.conditions);
    conditions.iter().find(|condition| condition.type_ == "Contended" && condition.status == "True")
}

/// Makes an autoscaler of the Deployment `web`, and waits until the gateway knows it.
async fn autoscale(suite: &Shared, namespace: &str, metadata: &Value) -> Result<()> {
    let autoscaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 8},
    }))?;
    Api::namespaced(suite.kube().await?, namespace).create(&PostParams::default(), &autoscaler).await?;
    let (viewer, path) = (suite.client("viewer")?, suite::replicas(namespace, "web"));
    poll::eventually("the autoscaler to be seen", async || {
        Ok((viewer.get(&path).await?.json()["owner"]["name"] == metadata["name"]).then_some(()))
    })
    .await
}

/// The detail of the answer to a set beside an autoscaler.
async fn refusal(suite: &Shared, namespace: &str) -> Result<String> {
    let answer = suite.client("operator")?.put(&suite::replicas(namespace, "web"), &json!({"replicas": 2})).await?;
    assert_eq!((answer.status, answer.code().as_str()), (409, "owned_by_autoscaler"));
    Ok(answer.json()["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_object_that_made_an_autoscaler_is_named_with_what_to_change_in_it() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("scaled-object").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let owner = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "shop",
        "uid": "6c6cbbb2-8fb8-4f0c-9a0b-3a8f9d6a54a1", "controller": true, "blockOwnerDeletion": true,
    });
    let labels = json!({"scaledobject.keda.sh/name": "shop", "app.kubernetes.io/managed-by": "keda-operator"});
    let metadata = json!({"name": "keda-hpa-shop", "labels": labels, "ownerReferences": [owner]});
    autoscale(&suite, &namespace, &metadata).await?;
    let expected = [
        "ScaledObject shop (through HorizontalPodAutoscaler keda-hpa-shop)",
        "change its minReplicaCount and maxReplicaCount instead",
    ];
    let are_in = |text: &str| expected.iter().all(|part| text.contains(part));

    let detail = refusal(&suite, &namespace).await?;
    assert!(are_in(&detail), "{detail}");
    let workload = Workload { kind: String::new(), namespace: namespace.clone(), name: "web".to_owned() };
    let request = SetReplicasRequest { workload: Some(workload), replicas: Some(4), ..SetReplicasRequest::default() };
    let operator = suite.client("operator")?;
    let status = operator.replica_service().await?.set_replicas(request).await.err();
    assert!(status.as_ref().is_some_and(|status| are_in(status.message())), "{status:?}");

    // Not through the gateway, which refuses it.
    let target: ReplicaTarget = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "replicas": 7},
    }))?;
    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    targets.create(&PostParams::default(), &target).await?;
    wait_for(&targets, "web", "the condition to name the ScaledObject", |target: &ReplicaTarget| {
        contended(target).is_some_and(|contended| are_in(&contended.message))
    })
    .await?;
    poll::eventually("the obstacle to name the ScaledObject", async || {
        let view = operator.get(&suite::replicas(&namespace, "web")).await?.json();
        Ok(are_in(view["progress"]["obstacle"]["message"].as_str().unwrap_or_default()).then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_autoscaler_that_does_not_act_is_explained() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("idle").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(0).create(&kube).await?;
    autoscale(&suite, &namespace, &json!({"name": "load"})).await?;
    let detail = refusal(&suite, &namespace).await?;
    assert!(detail.contains("off while there are 0 replicas") && detail.contains("kubectl scale"), "{detail}");

    // As its controller would, which does not run here.
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(kube.clone(), &namespace);
    let condition = json!({
        "type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric",
        "message": "the HPA was unable to compute the replica count",
    });
    let status = json!({"status": {"desiredReplicas": 0, "currentMetrics": null, "conditions": [condition]}});
    autoscalers.patch_status("load", &PatchParams::default(), &Patch::Merge(status)).await?;
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    let scale = json!({"spec": {"replicas": 3}});
    deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(scale)).await?;
    poll::eventually("the answer to have the autoscaler's own words", async || {
        let detail = refusal(&suite, &namespace).await?;
        let told = detail.contains("change its minimum and maximum instead")
            && detail.contains("FailedGetResourceMetric: the HPA was unable to compute the replica count");
        Ok(told.then_some(()))
    })
    .await
}

/// Sets a count, as `manager`, until it is corrected no longer at once, and compares how the gateway then names it.
async fn fight(manager: &str, count: i32, named: &str) -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("fight").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(2).create(&kube).await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    suite.wait_seen(&namespace, "web").await?;
    assert_eq!(operator.put(&path, &json!({"replicas": 2})).await?.status, 202);
    suite.wait_ready(&operator, &namespace, "web", 2).await?;

    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), &namespace);
    let scale = async || {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        deployments.patch_scale("web", &params, &Patch::Merge(json!({"spec": {"replicas": count}}))).await
    };
    for _ in 0..3 {
        scale().await?;
        wait_for(&deployments, "web", "the count to be corrected", |web: &Deployment| {
            web.spec.as_ref().is_some_and(|spec| spec.replicas == Some(2))
        })
        .await?;
    }
    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    let target = wait_for(&targets, "web", "the target to be contended", |target| contended(target).is_some()).await?;
    let message = contended(&target).map(|contended| contended.message.as_str()).unwrap_or_default();
    assert!(message.starts_with(&format!("{named} keeps setting another count")), "{message}");

    let view = poll::eventually("the answer to say that the correction waits", async || {
        scale().await?;
        let view = operator.get(&path).await?.json();
        Ok((view["progress"]["obstacle"]["reason"] == "Contended").then_some(view))
    })
    .await?;
    let message = view["progress"]["obstacle"]["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("{named} set it, and the next correction waits")), "{view}");
    let metrics = suite.metrics().await?;
    let contended = metrics.lines().find_map(|line| line.strip_prefix("scalegate_contended_targets "));
    assert!(contended.is_some_and(|number| number != "0"), "{contended:?}");
    Ok(())
}

#[tokio::test]
async fn a_manager_that_keeps_setting_another_count_is_named_and_corrected_less_often() -> Result<()> {
    fight("nightly", 1, "`nightly`").await
}

#[tokio::test]
async fn a_count_of_zero_has_no_manager_so_the_clients_that_can_have_set_it_are_named() -> Result<()> {
    fight("nightly", 0, "`kubectl scale` or another client of the scale subresource").await
}
