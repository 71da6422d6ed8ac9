//! A gateway that watches listed namespaces alone, under an account that has roles there and no cluster role.

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::client::Answer;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::GatewayOptions;
use scalegate_tests::policies::copy;
use scalegate_tests::poll::eventually;
use scalegate_tests::suite::{self, Exclusive};
use scalegate_tests::{kubeconfig, stack};
use serde_json::{Value, json};

/// What to start a gateway with that watches `namespaces` under an account with roles in `allowed` alone.
async fn options(suite: &Exclusive, name: &str, allowed: &[&str], namespaces: &[&str]) -> Result<GatewayOptions> {
    stack::install_for_namespaces(&suite.kube().await?, name, allowed).await?;
    Ok(GatewayOptions {
        kubeconfig: Some(suite.kubeconfig_for(name).await?),
        namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
        lease: name.to_owned(),
        ..suite.options(name)
    })
}

/// The names in an answer to a list.
fn names(list: &Answer) -> Vec<String> {
    let items = list.json()["items"].as_array().cloned().unwrap_or_default();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    items.iter().map(|item| format!("{}/{}", text(item, "namespace"), text(item, "name"))).collect()
}

#[tokio::test]
async fn a_gateway_with_roles_in_two_namespaces_serves_these_and_knows_no_other() -> Result<()> {
    let suite = suite::exclusive().await?;
    let kube = suite.kube().await?;
    let (first, second) = (suite.namespace("listed-a").await?, suite.namespace("listed-b").await?);
    let other = suite.namespace("unlisted").await?;
    for namespace in [&first, &second, &other] {
        deployment(namespace, "web").replicas(2).create(&kube).await?;
    }
    let gateway = suite.start(&options(&suite, "listed", &[&first, &second], &[&first, &second]).await?).await?;
    let (viewer, operator, stranger) =
        (gateway.client("viewer")?, gateway.client("operator")?, gateway.client("stranger")?);

    suite::wait_seen(&viewer, &first, "web").await?;
    suite::wait_seen(&viewer, &second, "web").await?;
    assert_eq!(names(&viewer.get("/v1/deployments").await?), [format!("{first}/web"), format!("{second}/web")]);

    let set = operator.put(&suite::replicas(&first, "web"), &json!({"replicas": 4, "reason": "lunch"})).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    suite::wait_ready(&viewer, &first, "web", 4).await?;
    let stored = Api::<Deployment>::namespaced(kube.clone(), &first).get("web").await?;
    assert_eq!(stored.spec.and_then(|spec| spec.replicas), Some(4));
    eventually("the event about it", async || {
        let events = Api::<Event>::namespaced(kube.clone(), &first).list(&ListParams::default()).await?;
        Ok(events.items.iter().any(|event| event.reason.as_deref() == Some("Scaled")).then_some(()))
    })
    .await?;

    let elsewhere = suite::replicas(&other, "web");
    let nowhere = suite::replicas("no-such-namespace", "web");
    for path in [&elsewhere, &nowhere] {
        assert_eq!(viewer.get(path).await?.code(), "deployment_not_found");
        assert_eq!(operator.put(path, &json!({"replicas": 3})).await?.code(), "deployment_not_found");
        assert_eq!(operator.delete(path).await?.code(), "deployment_not_found");
        assert_eq!(stranger.get(path).await?.code(), "refused");
        assert_eq!(viewer.put(path, &json!({"replicas": 3})).await?.code(), "refused");
    }
    assert_eq!(names(&viewer.get(&format!("/v1/namespaces/{other}/deployments")).await?), Vec::<String>::new());
    let targets = Api::<ReplicaTarget>::namespaced(kube, &other).list(&ListParams::default()).await?;
    assert_eq!(targets.items.len(), 0);
    assert_eq!(viewer.get("/healthz").await?.status, 200);

    let about = eventually("the record of a decision", async || {
        let inputs = gateway.records().into_iter().map(|record| record["input"]["target"].clone());
        Ok(inputs.into_iter().find(|target| target["namespace"] == first.as_str()))
    })
    .await?;
    assert_eq!(about.get("namespaceLabels"), Some(&Value::Null));
    gateway.terminate().await
}

#[tokio::test]
async fn a_policy_that_is_bound_by_the_labels_of_namespaces_refuses_where_they_are_not_known() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("labels").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let policies = suite.directory("policies-by-label")?;
    copy("normal", &policies)?;
    let file = policies.join("policies.yaml");
    let mut set: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
    // A module beside the one that allows it: were it passed over, the request would be allowed.
    let mut restricting = set["modules"][0].clone();
    restricting["name"] = json!("by-label");
    restricting["match"] = json!({"namespaceLabels": {"tier": "production"}});
    set["modules"].as_array_mut().expect("a list of modules").push(restricting);
    std::fs::write(&file, set.to_string())?;

    let mut options = options(&suite, "by-label", &[&namespace], &[&namespace]).await?;
    options.policies = policies;
    let gateway = suite.start(&options).await?;
    let answer = gateway.client("operator")?.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 3})).await?;
    assert_eq!(answer.code(), "refused");
    let reason =
        format!("whether policy by-label covers namespace {namespace} is not known: its labels cannot be seen");
    assert_eq!(answer.json()["reasons"], json!([reason]));
    gateway.terminate().await
}

#[tokio::test]
async fn a_gateway_that_may_not_watch_a_listed_namespace_names_it_and_is_not_ready_until_it_may() -> Result<()> {
    let suite = suite::exclusive().await?;
    let (granted, forgotten) = (suite.namespace("granted").await?, suite.namespace("forgotten").await?);
    let gateway = suite.launch(&options(&suite, "forgetful", &[&granted], &[&granted, &forgotten]).await?).await?;
    let told = |line: &Value, resource: &str| {
        line["level"] == "WARN" && line["namespace"] == forgotten.as_str() && line["resource"] == resource
    };
    for resource in ["deployments", "replicatargets", "horizontalpodautoscalers"] {
        let line = eventually("the log to name the namespace", async || {
            Ok(gateway.log().into_iter().find(|line| told(line, resource)))
        })
        .await?;
        assert!(line["error"].as_str().unwrap_or_default().contains("is forbidden"), "{line}");
    }
    assert!(!gateway.log().iter().any(|line| line["namespace"] == granted.as_str() && line["level"] == "WARN"));
    assert_eq!(gateway.admin("/readyz").await?.0, 503);

    stack::install_for_namespaces(&suite.kube().await?, "forgetful", &[&forgotten]).await?;
    eventually("the gateway to be ready", async || Ok((gateway.admin("/readyz").await?.0 == 200).then_some(())))
        .await?;
    gateway.terminate().await
}

#[tokio::test]
async fn a_hundred_namespaces_can_be_watched_and_those_that_do_not_exist_are_empty_until_they_do() -> Result<()> {
    let suite = suite::exclusive().await?;
    let kube = suite.kube().await?;
    let existing = suite.namespace("hundredth").await?;
    deployment(&existing, "web").create(&kube).await?;
    let later: Vec<_> = (1..100).map(|n| format!("{existing}-{n}")).collect();
    let mut options = suite.options("hundred");
    options.namespaces = later.iter().cloned().chain([existing.clone()]).collect();
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    assert_eq!(names(&viewer.get("/v1/deployments").await?), [format!("{existing}/web")]);

    let metadata = ObjectMeta { name: Some(later[98].clone()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(kube.clone()).create(&PostParams::default(), &namespace).await?;
    deployment(&later[98], "web").create(&kube).await?;
    suite::wait_seen(&viewer, &later[98], "web").await?;
    assert_eq!(viewer.get("/healthz").await?.status, 200);
    gateway.terminate().await
}

/// Verbs on a resource (`group/resource`, or `group/resource/subresource`).
type Rights = (&'static str, &'static [&'static str]);

/// All that the account may do in a listed namespace.
const IN_A_LISTED_NAMESPACE: &[Rights] = &[
    ("apps/deployments", &["list", "watch"]),
    ("apps/deployments/scale", &["update"]),
    ("autoscaling/horizontalpodautoscalers", &["list", "watch"]),
    ("scalegate.dev/replicatargets", &["list", "watch", "create", "patch", "delete", "set-directly"]),
    ("scalegate.dev/replicatargets/status", &["patch"]),
    ("events.k8s.io/events", &["create"]),
];
/// All that it may do in its own namespace, to what has the name of the Lease.
const TO_ITS_LEASE: &[Rights] = &[("coordination.k8s.io/leases", &["get", "create", "update"])];
/// And to what has another name, or none yet.
const IN_ITS_OWN: &[Rights] = &[("coordination.k8s.io/leases", &["create"])];
/// All that it may do everywhere.
const EVERYWHERE: &[Rights] = &[];

/// What an account might be thought to need, or an attacker would like to have.
const ASKED: &[&str] = &[
    "apps/deployments",
    "apps/deployments/scale",
    "apps/deployments/status",
    "apps/statefulsets",
    "apps/statefulsets/scale",
    "autoscaling/horizontalpodautoscalers",
    "scalegate.dev/replicatargets",
    "scalegate.dev/replicatargets/scale",
    "scalegate.dev/replicatargets/status",
    "events.k8s.io/events",
    "coordination.k8s.io/leases",
    "/events",
    "/namespaces",
    "/pods",
    "/pods/exec",
    "/secrets",
    "/configmaps",
    "/serviceaccounts",
    "/serviceaccounts/token",
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/rolebindings",
    "rbac.authorization.k8s.io/clusterroles",
    "apiextensions.k8s.io/customresourcedefinitions",
];
const VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "set-directly",
    "impersonate",
    "bind",
    "escalate",
];

/// Whether the account of `client` may, by the API server's own word.
async fn may(
    client: &kube::Client,
    (namespace, name): (Option<&str>, Option<&str>),
    resource: &str,
    verb: &str,
) -> Result<bool> {
    let mut parts = resource.split('/').map(str::to_owned);
    let attributes = ResourceAttributes {
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        group: parts.next(),
        resource: parts.next(),
        subresource: parts.next(),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[tokio::test]
async fn what_the_account_of_listed_namespaces_may_do_is_what_the_rules_say_and_nothing_else() -> Result<()> {
    let suite = suite::shared().await?;
    let (listed, other) = (suite.namespace("reviewed").await?, suite.namespace("unreviewed").await?);
    stack::install_for_namespaces(&suite.kube().await?, "reviewed", &[&listed]).await?;
    let account = kubeconfig::client(&suite.kubeconfig_for("reviewed").await?).await?;
    let mut wrong = Vec::new();
    for (place, rights) in [
        ((Some(listed.as_str()), None), IN_A_LISTED_NAMESPACE),
        ((Some(stack::SYSTEM), Some("reviewed")), TO_ITS_LEASE),
        ((Some(stack::SYSTEM), Some("another")), IN_ITS_OWN),
        ((Some(stack::SYSTEM), None), IN_ITS_OWN),
        ((Some(other.as_str()), None), EVERYWHERE),
        ((None, None), EVERYWHERE),
    ] {
        for resource in ASKED {
            for verb in VERBS {
                let expected = rights.iter().any(|(of, verbs)| of == resource && verbs.contains(verb));
                if may(&account, place, resource, verb).await? != expected {
                    wrong.push(format!("{verb} {resource} in {place:?} should be {expected}"));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}
