//! Listed namespaces: nothing of the cluster's own is asked for, neither by who installs nor by what runs.

use anyhow::Result;
use scalegate_tests::paths::repository;

use crate::cluster::{eventually, helm, kubectl};

const HOME: &str = "narrow";
const TEAMS: [&str; 2] = ["team-a", "team-b"];
const INSTALLER: &str = "system:serviceaccount:narrow:installer";
const GATEWAY: &str = "--as=system:serviceaccount:narrow:narrow-scalegate";

/// Verb, resource with its subresource after a slash or its name after a colon, namespace (empty: all), and whether it is
/// allowed.
const TABLE: [(&str, &str, &str, bool); 24] = [
    ("list", "deployments.apps", "team-a", true),
    ("watch", "deployments.apps", "team-b", true),
    ("list", "deployments.apps", "demo", false),
    ("list", "deployments.apps", "", false),
    ("patch", "deployments.apps", "team-a", false),
    ("update", "deployments.apps/scale", "team-a", true),
    ("patch", "deployments.apps/scale", "team-a", false),
    ("update", "deployments.apps/scale", "demo", false),
    ("create", "replicatargets.scalegate.dev", "team-b", true),
    ("set-directly", "replicatargets.scalegate.dev", "team-b", true),
    ("patch", "replicatargets.scalegate.dev/status", "team-b", true),
    ("create", "replicatargets.scalegate.dev", "demo", false),
    ("list", "horizontalpodautoscalers.autoscaling", "team-a", true),
    ("create", "events.events.k8s.io", "team-a", true),
    ("list", "namespaces", "", false),
    ("get", "secrets", "team-a", false),
    ("get", "secrets", "narrow", false),
    ("list", "pods", "team-a", false),
    ("create", "pods", "narrow", false),
    ("create", "leases.coordination.k8s.io", "narrow", true),
    ("update", "leases.coordination.k8s.io:narrow-scalegate", "narrow", true),
    ("update", "leases.coordination.k8s.io", "narrow", false),
    ("update", "leases.coordination.k8s.io:narrow-scalegate", "team-a", false),
    ("create", "roles.rbac.authorization.k8s.io", "narrow", false),
];

async fn prepare() -> Result<()> {
    for namespace in [HOME, TEAMS[0], TEAMS[1]] {
        kubectl(&["create", "namespace", namespace]).await?;
        // All of a namespace, and nothing beside it.
        let account = format!("--serviceaccount={HOME}:installer");
        kubectl(&["-n", namespace, "create", "rolebinding", "installer", "--clusterrole=cluster-admin", &account])
            .await?;
    }
    kubectl(&["-n", HOME, "create", "serviceaccount", "installer"]).await?;
    let certs = repository().join("certs/dev");
    let file = |key: &str, file: &str| format!("--from-file={key}={}", certs.join(file).display());
    let files = [file("tls.crt", "server.pem"), file("tls.key", "server-key.pem"), file("ca.crt", "ca.pem")];
    let secret = ["-n", HOME, "create", "secret", "generic", "scalegate-tls"];
    kubectl(&secret.into_iter().chain(files.iter().map(String::as_str)).collect::<Vec<_>>()).await?;
    let modules = ["-n", HOME, "create", "configmap", "scalegate-modules", "--from-file=target/policies/normal"];
    kubectl(&modules).await?;
    Ok(())
}

async fn remove() -> Result<()> {
    for namespace in [HOME, TEAMS[0], TEAMS[1]] {
        kubectl(&["delete", "namespace", namespace, "--ignore-not-found"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn it_installs_without_any_right_on_the_cluster_and_can_do_what_the_table_says() -> Result<()> {
    remove().await?;
    prepare().await?;
    let values = [
        "namespaces={team-a,team-b}",
        "crds.install=false",
        "admissionPolicy.enabled=false",
        "tls.server.secretName=scalegate-tls",
        "tls.clientCas[0].secretName=scalegate-tls,tls.clientCas[0].key=ca.crt,tls.clientCas[0].trustDomain=scalegate.test",
        "policies.existingConfigMap=scalegate-modules",
        "image.repository=scalegate,image.tag=dev",
        "tests.enabled=false",
    ];
    let mut arguments = vec!["install", HOME, "charts/scalegate", "-n", HOME, "--kube-as-user", INSTALLER];
    arguments.extend(["--wait", "--timeout", "3m"]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    helm(&arguments).await?;

    let manifest = helm(&["get", "manifest", HOME, "-n", HOME]).await?;
    assert!(!manifest.contains("kind: Cluster"), "a role of the cluster");
    for (verb, resource, namespace, wanted) in TABLE {
        let place = if namespace.is_empty() { vec!["--all-namespaces"] } else { vec!["-n", namespace] };
        let (kind, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        // kubectl takes what follows a slash for a name.
        let kind = kind.replace(':', "/");
        let subresource = format!("--subresource={subresource}");
        let asked = [&["auth", "can-i", verb, &kind, &subresource, GATEWAY][..], &place].concat();
        // `no` is a failure of kubectl's.
        let allowed = kubectl(&asked).await.is_ok_and(|answer| answer == "yes");
        println!("{:<5} {verb} {resource} in {}", if allowed { "yes" } else { "no" }, place.join(" "));
        assert_eq!(allowed, wanted, "{verb} {resource} {namespace}");
    }
    let lease = async || {
        kubectl(&["-n", HOME, "get", "lease", "-o", "name"]).await.map(|name| (!name.is_empty()).then_some(()))
    };
    eventually("a leader", lease).await?;
    remove().await
}
