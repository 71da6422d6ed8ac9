//! The chart's admission policy: kubectl is no second door around the policies, and stands in nobody's way otherwise.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::kubeconfig;
use scalegate_tests::poll::eventually;
use scalegate_tests::suite::{self, Shared};
use serde_json::{Value, json};

/// Somebody who may do with targets in a namespace what the role `edit` lets one do with other objects.
const EDITOR: &str = "an-editor";

fn target(replicas: i32) -> ReplicaTarget {
    let document = json!({
        "apiVersion": "scalegate.dev/v1alpha1", "kind": "ReplicaTarget", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "replicas": replicas}
    });
    serde_json::from_value(document).unwrap()
}

/// Gives the editor the role `name` in `namespace` with these rules.
async fn grant(suite: &Shared, namespace: &str, name: &str, rules: Value) -> Result<()> {
    let kube = suite.kube().await?;
    let role: Role = serde_json::from_value(json!({"metadata": {"name": name}, "rules": rules}))?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": EDITOR}],
    }))?;
    Api::namespaced(kube.clone(), namespace).create(&PostParams::default(), &role).await?;
    Api::namespaced(kube, namespace).create(&PostParams::default(), &binding).await?;
    Ok(())
}

fn edit() -> Value {
    json!([{
        "apiGroups": ["scalegate.dev"],
        "resources": ["replicatargets", "replicatargets/scale", "replicatargets/status"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"],
    }])
}

/// A namespace with a target that the administrator wrote, and the targets as the editor sees them.
async fn edited(suite: &Shared) -> Result<(String, Api<ReplicaTarget>)> {
    let namespace = suite.namespace("doors").await?;
    grant(suite, &namespace, "edit", edit()).await?;
    let admin: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    admin.create(&PostParams::default(), &target(3)).await?;
    let editor: Api<ReplicaTarget> = Api::namespaced(suite.kube_as(EDITOR).await?, &namespace);
    obeyed(&editor).await?;
    Ok((namespace, editor))
}

/// Waits until the API server has taken up the role and the policy: a moment, after which it refuses the editor by policy.
async fn obeyed(editor: &Api<ReplicaTarget>) -> Result<()> {
    eventually("the admission policy to be in force", async || {
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        let tried = editor.patch("web", &dry, &Patch::Merge(json!({"spec": {"replicas": 4}}))).await;
        Ok(refusal(&tried).is_some_and(|words| words.contains("ValidatingAdmissionPolicy")).then_some(()))
    })
    .await
}

/// The words of a 403.
fn refusal<T>(result: &kube::Result<T>) -> Option<&str> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 403 => Some(&status.message),
        Ok(_) | Err(_) => None,
    }
}

#[tokio::test]
async fn whoever_may_edit_targets_can_neither_create_one_nor_change_its_count() -> Result<()> {
    let suite = suite::shared().await?;
    let (namespace, editor) = edited(&suite).await?;
    let count = Patch::Merge(json!({"spec": {"replicas": 9}}));
    let by_patch = editor.patch("web", &PatchParams::default(), &count).await;
    let by_scale = editor.patch_scale("web", &PatchParams::default(), &count).await;
    let mut whole = editor.get("web").await?;
    whole.spec.reason = Some("none".to_owned());
    let by_update = editor.replace("web", &PostParams::default(), &whole).await;
    let mut other = target(3);
    other.metadata.name = Some("api".to_owned());
    other.spec.scale_target_ref.name = "api".to_owned();
    let by_create = editor.create(&PostParams::default(), &other).await;

    // The owners decide for which Deployment a count holds, and a finalizer would keep the next target away.
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "decoy"});
    let decoy = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
    let by_owner = editor.patch("web", &PatchParams::default(), &decoy).await;
    let finalized = Patch::Merge(json!({"metadata": {"finalizers": ["example.test/stay"]}}));
    let by_finalizer = editor.patch("web", &PatchParams::default(), &finalized).await;

    let advice =
        format!("{EDITOR} needs the verb set-directly on replicatargets.scalegate.dev in namespace {namespace}");
    for (way, words) in [
        ("patch", refusal(&by_patch)),
        ("scale", refusal(&by_scale)),
        ("update", refusal(&by_update)),
        ("create", refusal(&by_create)),
        ("owner", refusal(&by_owner)),
        ("finalizer", refusal(&by_finalizer)),
    ] {
        assert!(words.is_some_and(|words| words.contains(&advice)), "{way}: {words:?}");
    }
    assert_eq!(editor.get("web").await?.spec.replicas, 3);
    Ok(())
}

#[tokio::test]
async fn whoever_may_edit_targets_can_label_report_and_delete_them() -> Result<()> {
    let suite = suite::shared().await?;
    let (_, editor) = edited(&suite).await?;
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "shop"}}}));
    assert_eq!(editor.patch("web", &PatchParams::default(), &label).await?.spec.replicas, 3);
    let status = Patch::Merge(json!({"status": {"replicas": 1}}));
    editor.patch_status("web", &PatchParams::default(), &status).await?;
    editor.delete("web", &DeleteParams::default()).await?;
    assert!(editor.get_opt("web").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_holder_of_the_verb_writes_targets() -> Result<()> {
    let suite = suite::shared().await?;
    let (namespace, editor) = edited(&suite).await?;
    let verb = json!([{"apiGroups": ["scalegate.dev"], "resources": ["replicatargets"], "verbs": ["set-directly"]}]);
    grant(&suite, &namespace, "emergency", verb).await?;

    let count = Patch::Merge(json!({"spec": {"replicas": 9}}));
    // The authorizer learns of the role a moment later.
    eventually("the holder of the verb to be let through", async || {
        Ok(editor.patch("web", &PatchParams::default(), &count).await.is_ok().then_some(()))
    })
    .await?;
    editor.patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 10}}))).await?;
    assert_eq!(editor.get("web").await?.spec.replicas, 10);
    Ok(())
}

#[tokio::test]
async fn the_gateways_account_writes_targets() -> Result<()> {
    let suite = suite::shared().await?;
    let (namespace, _) = edited(&suite).await?;
    let gateway = kubeconfig::client(suite.gateway_kubeconfig()).await?;
    let targets: Api<ReplicaTarget> = Api::namespaced(gateway, &namespace);
    let count = Patch::Merge(json!({"spec": {"replicas": 5}}));
    assert_eq!(targets.patch("web", &PatchParams::default(), &count).await?.spec.replicas, 5);
    Ok(())
}

/// A Deployment that a client has set, so that its target is owned by it.
async fn set_by_a_client(suite: &Shared, kube: &Client) -> Result<(String, Api<ReplicaTarget>)> {
    let (namespace, editor) = edited(suite).await?;
    editor.delete("web", &DeleteParams::default()).await?;
    set(suite, kube, &namespace, "web").await?;
    Ok((namespace.clone(), Api::namespaced(kube.clone(), &namespace)))
}

async fn set(suite: &Shared, kube: &Client, namespace: &str, name: &str) -> Result<()> {
    deployment(namespace, name).create(kube).await?;
    suite.wait_seen(namespace, name).await?;
    let operator = suite.client("operator")?;
    let answer = operator.put(&suite::replicas(namespace, name), &json!({"replicas": 2})).await?;
    assert_eq!(answer.status, 202, "{:?}", answer.json());
    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), namespace);
    wait_for(&targets, name, "an owned target", |target| target.metadata.owner_references.is_some()).await?;
    Ok(())
}

/// Waits until the garbage collector knows of all targets so far.
///
/// It notices a new kind within half a minute, and what it has not noticed it cannot orphan. It takes up targets in
/// their order, so once it has collected a later one, it knows of the others.
async fn known_to_the_garbage_collector(suite: &Shared, kube: &Client, namespace: &str) -> Result<()> {
    set(suite, kube, namespace, "later").await?;
    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), namespace);
    deployments.delete("later", &DeleteParams::background()).await?;
    let targets: Api<ReplicaTarget> = Api::namespaced(kube.clone(), namespace);
    eventually("the garbage collector", async || Ok(targets.get_opt("later").await?.is_none().then_some(()))).await
}

#[tokio::test]
async fn a_deployment_that_is_deleted_can_leave_its_target_behind_which_can_be_released() -> Result<()> {
    let suite = suite::shared().await?;
    let kube = suite.kube().await?;
    let (namespace, targets) = set_by_a_client(&suite, &kube).await?;
    known_to_the_garbage_collector(&suite, &kube, &namespace).await?;
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    deployments.delete("web", &DeleteParams::orphan()).await?;
    eventually("the Deployment to be gone", async || Ok(deployments.get_opt("web").await?.is_none().then_some(())))
        .await?;
    let left = targets.get("web").await?;
    assert_eq!(left.metadata.owner_references.unwrap_or_default(), vec![]);
    assert_eq!(left.spec.replicas, 2);

    // Who may release the Deployment may release what it left behind.
    let path = suite::replicas(&namespace, "web");
    let operator = suite.client("operator")?;
    eventually("the gateway to see it gone", async || Ok((operator.get(&path).await?.status == 404).then_some(())))
        .await?;
    let released = operator.delete(&path).await?;
    let view = released.json();
    assert_eq!((released.status, view["spec"].is_null(), view["target"].is_null()), (200, true, true), "{view}");
    assert!(targets.get_opt("web").await?.is_none());
    assert_eq!(operator.delete(&path).await?.code(), "deployment_not_found");
    Ok(())
}

#[tokio::test]
async fn a_deployment_that_is_deleted_takes_its_target_along() -> Result<()> {
    let suite = suite::shared().await?;
    let kube = suite.kube().await?;
    let (namespace, targets) = set_by_a_client(&suite, &kube).await?;
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    deployments.delete("web", &DeleteParams::foreground()).await?;
    eventually("the target to be gone", async || Ok(targets.get_opt("web").await?.is_none().then_some(()))).await
}

#[tokio::test]
async fn a_namespace_with_targets_can_end() -> Result<()> {
    let suite = suite::shared().await?;
    let (namespace, _) = edited(&suite).await?;
    let namespaces: Api<Namespace> = Api::all(suite.kube().await?);
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    eventually("the namespace to be gone", async || Ok(namespaces.get_opt(&namespace).await?.is_none().then_some(())))
        .await
}
