//! What the API server refuses as a `ReplicaTarget`, and what it says.

use anyhow::Result;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::suite;
use serde_json::{Value, json};

fn target(name: &str) -> Value {
    json!({
        "apiVersion": "scalegate.dev/v1alpha1", "kind": "ReplicaTarget", "metadata": {"name": name},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}, "replicas": 3}
    })
}

/// A target with the value at `pointer` replaced, or removed.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut target = target("web");
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = target.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => drop(parent.insert(field.to_owned(), value)),
        None => drop(parent.remove(field)),
    }
    target
}

/// The words and the code with which the API server refuses.
fn refusal<T>(result: kube::Result<T>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.message),
        Err(error) => panic!("{error}"),
        Ok(_) => (200, "accepted".to_owned()),
    }
}

#[tokio::test]
async fn an_invalid_target_is_refused_with_a_reason() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("targets").await?;
    let resource = ApiResource::erase::<ReplicaTarget>(&());
    let targets: Api<DynamicObject> = Api::namespaced_with(suite.kube().await?, &namespace, &resource);

    let reference = "/spec/scaleTargetRef";
    let cases = [
        (with("/spec/replicas", None), "spec.replicas: Required value"),
        (with("/spec/replicas", Some(Value::Null)), "spec.replicas: Required value"),
        (with("/spec/replicas", Some(json!(-1))), "should be greater than or equal to 0"),
        (with("/spec/replicas", Some(json!(1.5))), "must be of type int32"),
        (with("/spec/replicas", Some(json!("3"))), "must be of type integer"),
        (with("/spec/replicas", Some(json!(2_147_483_648_i64))), "should be less than or equal to 2147483647"),
        (with(&format!("{reference}/name"), Some(json!("api"))), "metadata.name must equal spec.scaleTargetRef.name"),
        (with(&format!("{reference}/kind"), Some(json!("StatefulSet"))), "supported values: \"Deployment\""),
        (with(&format!("{reference}/apiVersion"), Some(json!("extensions/v1beta1"))), "supported values: \"apps/v1\""),
        (with("/spec/reason", Some(json!("x".repeat(513)))), "may not be more than 512"),
        (with("/spec/reason", Some(json!("é".repeat(300)))), "the reason is longer than 512 bytes"),
        (with("/spec/requestedBy", Some(json!("x".repeat(2049)))), "may not be more than 2048"),
    ];
    for (object, expected) in cases {
        let created = targets.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await;
        let (code, message) = refusal(created);
        assert_eq!(code, 422, "{object}: {message}");
        assert!(message.contains(expected), "{object}: {message}");
    }
    Ok(())
}

#[tokio::test]
async fn a_target_never_turns_to_another_deployment() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("targets").await?;
    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    targets.create(&PostParams::default(), &serde_json::from_value(target("web"))?).await?;

    let elsewhere = Patch::Merge(json!({"spec": {"scaleTargetRef": {"name": "api"}}}));
    let (code, message) = refusal(targets.patch("web", &PatchParams::default(), &elsewhere).await);
    assert_eq!(code, 422, "{message}");
    assert!(message.contains("scaleTargetRef is immutable"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_target_has_a_scale_of_its_own() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("targets").await?;
    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    targets.create(&PostParams::default(), &serde_json::from_value(target("web"))?).await?;

    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    targets.patch_scale("web", &PatchParams::default(), &scale).await?;
    assert_eq!(targets.get("web").await?.spec.replicas, 5);
    Ok(())
}
