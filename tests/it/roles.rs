//! What the gateway's own account may do in the cluster, tried with its token.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use scalegate::workload::WorkloadKind;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::kubeconfig;
use scalegate_tests::paths::repository;
use scalegate_tests::suite;
use serde_json::json;

fn code<T>(result: Result<T, kube::Error>) -> Option<u16> {
    match result {
        Err(kube::Error::Api(status)) => Some(status.code),
        Ok(_) | Err(_) => None,
    }
}

#[test]
fn the_rules_name_every_kind_of_workload() -> Result<()> {
    let rules = std::fs::read_to_string(repository().join("charts/scalegate/files/rules/workloads.yaml"))?;
    let rules: Vec<PolicyRule> = serde_saphyr::from_str(&rules)?;
    for kind in WorkloadKind::ALL {
        let group = kind.api_version().split_once('/').map_or("", |(group, _)| group);
        let may = |resource: &str, verb: &str| {
            let has = |list: Option<&Vec<String>>, word: &str| list.into_iter().flatten().any(|one| one == word);
            let of_group = rules.iter().filter(|rule| has(rule.api_groups.as_ref(), group));
            of_group.filter(|rule| has(rule.resources.as_ref(), resource)).any(|rule| has(Some(&rule.verbs), verb))
        };
        let (plural, scale) = (kind.plural(), format!("{}/scale", kind.plural()));
        assert!(may(plural, "list") && may(plural, "watch") && may(&scale, "update"), "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn the_gateways_account_cannot_patch_a_pod_template() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("roles").await?;
    deployment(&namespace, "web").create(&suite.kube().await?).await?;
    let gateway = kubeconfig::client(suite.gateway_kubeconfig()).await?;
    let deployments: Api<Deployment> = Api::namespaced(gateway, &namespace);

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "evil.test/x"}]}}}});
    let patch = deployments.patch("web", &PatchParams::default(), &Patch::Strategic(image)).await;
    assert_eq!(code(patch), Some(403));
    let count = Patch::Merge(json!({"spec": {"replicas": 9}}));
    assert_eq!(code(deployments.patch("web", &PatchParams::default(), &count).await), Some(403));
    let scale = deployments.patch_scale("web", &PatchParams::default(), &count).await;
    assert_eq!(code(scale), Some(403), "a scale is written by PUT with a version, never patched");
    assert_eq!(code(deployments.delete("web", &DeleteParams::default()).await), Some(403));
    assert!(deployments.list(&ListParams::default()).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn the_gateways_account_sees_no_secrets_and_no_pods() -> Result<()> {
    let suite = suite::shared().await?;
    let gateway = kubeconfig::client(suite.gateway_kubeconfig()).await?;
    assert_eq!(code(Api::<Secret>::all(gateway.clone()).list(&ListParams::default()).await), Some(403));
    assert_eq!(code(Api::<Pod>::all(gateway).list(&ListParams::default()).await), Some(403));
    Ok(())
}

#[tokio::test]
async fn a_scale_with_an_old_version_is_refused_by_the_api_server() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("fences").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").create(&kube).await?;
    let admin: Api<Deployment> = Api::namespaced(kube, &namespace);
    let old: Scale = admin.get_scale("web").await?;
    admin.patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 2}}))).await?;

    let gateway = kubeconfig::client(suite.gateway_kubeconfig()).await?;
    let deployments: Api<Deployment> = Api::namespaced(gateway, &namespace);
    let late = deployments.replace_scale("web", &PostParams::default(), &old).await;
    assert_eq!(code(late), Some(409));
    Ok(())
}
