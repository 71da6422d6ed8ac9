//! What clients change.

use anyhow::Result;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;

#[tokio::test]
async fn an_allowed_set_arrives_and_says_when_it_is_accepted_applied_and_ready() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("sets").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    let operator = suite.client("operator")?;
    suite.wait_ready(&operator, &namespace, "web", 3).await?;

    let answer = operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 5, "reason": "launch"})).await?;
    assert_eq!(answer.status, 202, "{}", answer.json());
    let view = answer.json();
    assert_eq!(view["target"]["replicas"], 5);
    assert_eq!(view["progress"]["accepted"], true);
    assert_eq!(view["progress"]["applied"], false);
    assert!(view["decisionId"].is_string());

    let view = suite.wait_ready(&operator, &namespace, "web", 5).await?;
    assert_eq!(view["progress"], json!({"accepted": true, "applied": true, "ready": true}));
    assert_eq!(view["target"]["requestedBy"], "uri:spiffe://scalegate.test/operator");
    assert_eq!(view["owner"]["kind"], "ReplicaTarget");

    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), &namespace);
    let target = wait_for(&targets, "web", "the target to be ready", |target: &ReplicaTarget| {
        target.status.as_ref().is_some_and(|status| {
            status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
    })
    .await?;
    let history = target.status.unwrap_or_default().history;
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!((history[0].from, history[0].to, history[0].reason.as_deref()), (3, 5, Some("launch")));
    assert_eq!(target.metadata.owner_references.map(|owners| owners.len()), Some(1));

    let events: Api<Event> = Api::namespaced(kube, &namespace);
    let event = poll::eventually("an event about the change", async || {
        let all = events.list(&ListParams::default()).await?;
        Ok(all.into_iter().find(|event| event.reason.as_deref() == Some("Scaled")))
    })
    .await?;
    let note = event.note.unwrap_or_default();
    for part in ["3", "5", "uri:spiffe://scalegate.test/operator", "launch"] {
        assert!(note.contains(part), "{note:?} says nothing of {part}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_set_says_why_and_writes_nothing() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("refusals").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    suite.wait_seen(&namespace, "web").await?;

    let too_far = suite.client("operator")?.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 12})).await?;
    assert_eq!((too_far.status, too_far.code().as_str()), (403, "refused"));
    assert!(too_far.json()["detail"].as_str().is_some_and(|detail| detail.contains('6')), "{}", too_far.json());
    let viewer = suite.client("viewer")?.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    assert_eq!((viewer.status, viewer.code().as_str()), (403, "refused"));

    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    assert_eq!(targets.list(&ListParams::default()).await?.items.len(), 0);
    Ok(())
}

#[tokio::test]
async fn drift_is_corrected_and_told() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("drift").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    let operator = suite.client("operator")?;
    suite.wait_seen(&namespace, "web").await?;
    operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    suite.wait_ready(&operator, &namespace, "web", 4).await?;

    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), &namespace);
    let by_hand = Patch::Merge(json!({"spec": {"replicas": 1}}));
    let drifted = deployments
        .patch("web", &PatchParams { field_manager: Some("by-hand".into()), ..PatchParams::default() }, &by_hand)
        .await?;
    let drifted = drifted.metadata.generation;
    wait_for(&deployments, "web", "the count to be put back", |deployment: &Deployment| {
        deployment.metadata.generation > drifted && deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(4)
    })
    .await?;

    let events: Api<Event> = Api::namespaced(kube, &namespace);
    let told = poll::eventually("an event about the drift", async || {
        let all = events.list(&ListParams::default()).await?;
        Ok(all.into_iter().find(|event| event.reason.as_deref() == Some("DriftCorrected")))
    })
    .await?;
    assert!(told.note.unwrap_or_default().contains("by-hand"));
    Ok(())
}

#[tokio::test]
async fn releasing_deletes_the_target_and_leaves_the_count_alone() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("release").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(2).create(&kube).await?;
    let operator = suite.client("operator")?;
    suite.wait_seen(&namespace, "web").await?;
    let path = suite::replicas(&namespace, "web");
    operator.put(&path, &json!({"replicas": 4})).await?;
    suite.wait_ready(&operator, &namespace, "web", 4).await?;

    let answer = operator.delete(&path).await?;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert!(answer.json()["target"].is_null());
    let again = operator.delete(&path).await?;
    assert_eq!(again.status, 200, "releasing what is not managed is no error: {}", again.json());

    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), &namespace);
    assert_eq!(targets.list(&ListParams::default()).await?.items.len(), 0);
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    assert_eq!(deployments.get("web").await?.spec.and_then(|spec| spec.replicas), Some(4));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_decides_and_writes_nothing() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("dry-run").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = format!("{}?dryRun=true", suite::replicas(&namespace, "web"));

    let allowed = operator.put(&path, &json!({"replicas": 4})).await?;
    let view = allowed.json();
    assert_eq!(
        (allowed.status, &view["dryRun"], &view["target"]["replicas"]),
        (200, &json!(true), &json!(4)),
        "{view}"
    );
    assert_eq!(view["progress"]["accepted"], false, "{view}");
    assert_eq!(operator.put(&path, &json!({"replicas": 40})).await?.status, 403);
    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    assert_eq!(targets.list(&ListParams::default()).await?.items.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_set_for_an_older_version_is_refused_and_changes_nothing() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("if-match").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    let put = async |tag: &str, replicas: i32| {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        operator.request(Method::PUT, &path, &headers, json!({ "replicas": replicas }).to_string().into_bytes()).await
    };

    let before = operator.get(&path).await?.header("etag").to_owned();
    let first = put(&before, 3).await?;
    assert_eq!(first.status, 202, "{}", first.json());
    let stale = put(&before, 4).await?;
    assert_eq!((stale.status, stale.code().as_str()), (412, "version_mismatch"));
    let next = put(first.header("etag"), 4).await?;
    assert_eq!(next.status, 202, "{}", next.json());
    Ok(())
}

#[tokio::test]
async fn a_read_waits_for_the_version_that_it_names() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("at-least").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    for replicas in [3, 4, 5, 6] {
        let version = operator.put(&path, &json!({ "replicas": replicas })).await?.json()["version"].clone();
        let version = version.as_str().unwrap_or_default().to_owned();
        let read = operator.get(&format!("{path}?atLeastVersion={version}")).await?.json();
        assert_eq!(read["target"]["replicas"], replicas, "{read}");
        suite.wait_ready(&operator, &namespace, "web", i64::from(replicas)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn many_writers_at_once_leave_one_target_with_the_last_of_their_counts() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("writers").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(10).create(&kube).await?;
    suite.wait_seen(&namespace, "web").await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    let writes = (10..20).map(|replicas| {
        let (operator, path) = (operator.clone(), path.clone());
        async move { operator.put(&path, &json!({ "replicas": replicas })).await }
    });
    for answer in futures::future::join_all(writes).await {
        let answer = answer?;
        assert_eq!(answer.status, 202, "the last write wins: {}", answer.json());
    }
    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    let all = targets.list(&ListParams::default()).await?.items;
    assert_eq!(all.len(), 1);
    let view = suite.wait_ready(&operator, &namespace, "web", i64::from(all[0].spec.replicas)).await?;
    assert_eq!(view["spec"]["replicas"], all[0].spec.replicas);
    Ok(())
}

#[tokio::test]
async fn a_deployment_that_an_autoscaler_drives_is_left_to_it() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("autoscaled").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    let autoscaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "web-hpa"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 8},
    }))?;
    Api::namespaced(kube.clone(), &namespace).create(&PostParams::default(), &autoscaler).await?;
    let operator = suite.client("operator")?;
    let path = suite::replicas(&namespace, "web");
    poll::eventually("the autoscaler to be seen", async || {
        let view = operator.get(&path).await?.json();
        Ok((view["owner"]["name"] == "web-hpa").then_some(()))
    })
    .await?;

    let answer = operator.put(&path, &json!({"replicas": 4})).await?;
    assert_eq!((answer.status, answer.code().as_str()), (409, "owned_by_autoscaler"));
    let refused = suite.client("stranger")?.put(&path, &json!({"replicas": 4})).await?;
    assert_eq!(refused.status, 403, "ownership is told only to those who may");

    let target: ReplicaTarget = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "replicas": 7},
    }))?;
    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), &namespace);
    targets.create(&PostParams::default(), &target).await?;
    wait_for(&targets, "web", "the reconciler to say that it is contended", |target: &ReplicaTarget| {
        target.status.as_ref().is_some_and(|status| {
            status.conditions.iter().any(|condition| condition.type_ == "Contended" && condition.status == "True")
        })
    })
    .await?;
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    assert_eq!(deployments.get("web").await?.spec.and_then(|spec| spec.replicas), Some(3));
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_being_deleted_holds_no_longer_whatever_keeps_its_object() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("finalizers").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(2).create(&kube).await?;
    let operator = suite.client("operator")?;
    suite.wait_seen(&namespace, "web").await?;
    let path = suite::replicas(&namespace, "web");
    operator.put(&path, &json!({"replicas": 3})).await?;
    suite.wait_ready(&operator, &namespace, "web", 3).await?;
    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), &namespace);
    let finalizers = |names: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": names}}));
    targets.patch("web", &PatchParams::default(), &finalizers(&["scalegate.test/kept"])).await?;

    poll::eventually("the release", async || Ok((operator.delete(&path).await?.status == 200).then_some(()))).await?;
    poll::eventually("the gateway to show no target", async || {
        Ok(operator.get(&path).await?.json()["target"].is_null().then_some(()))
    })
    .await?;
    assert!(targets.get("web").await?.metadata.deletion_timestamp.is_some());
    targets.patch("web", &PatchParams::default(), &finalizers(&[])).await?;
    let again = poll::eventually("a new target to be accepted", async || {
        let answer = operator.put(&path, &json!({"replicas": 4})).await?;
        Ok((answer.status == 202).then_some(answer))
    })
    .await?;
    assert_eq!(again.json()["target"]["replicas"], 4);
    Ok(())
}
