//! Listed namespaces: nothing of the cluster's own is asked for, neither by who installs nor by what runs. The release's name
//! is as long as names can be, the image's tag is no label, and the Service has every family of addresses that there is.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use scalegate_tests::paths::repository;

use crate::cluster::{GATEWAY_PORT, eventually, helm, kubectl, nodes, run};

const HOME: &str = "narrow";
/// 50 characters, with dots, which few names may have.
const RELEASE: &str = "narrow-release-with-a-name-of-fifty-characters.1.0";
/// What the release's objects are called.
const NAME: &str = "narrow-release-with-a-name-of-fifty-characters-1-0";
/// A tag may begin and end like this; a label may not.
const TAG: &str = "_pr.7-";
const TEAMS: [&str; 2] = ["team-a", "team-b"];
const INSTALLER: &str = "system:serviceaccount:narrow:installer";

/// Verb, resource with its subresource after a slash or its name after a colon (`NAME`: [`NAME`]), namespace (empty: all),
/// and whether it is allowed.
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
    ("update", "leases.coordination.k8s.io:NAME", "narrow", true),
    ("update", "leases.coordination.k8s.io", "narrow", false),
    ("update", "leases.coordination.k8s.io:NAME", "team-a", false),
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
    for node in nodes().await? {
        let (image, tagged) = ("docker.io/library/scalegate:dev", format!("docker.io/library/scalegate:{TAG}"));
        run("docker", &["exec", &node, "ctr", "-n", "k8s.io", "images", "tag", "--force", image, &tagged], &[]).await?;
    }
    Ok(())
}

/// The addresses that kubectl prints.
async fn addresses(arguments: &[&str]) -> Result<Vec<IpAddr>> {
    let printed = kubectl(&[&["-n", HOME, "get"], arguments].concat()).await?;
    Ok(printed.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// Reaches the gateway from a node, at the Service and at each pod, by each family of addresses that the cluster has.
async fn reach_every_family() -> Result<()> {
    let node = &nodes().await?[0];
    let families = kubectl(&["get", "node", node, "-o", "jsonpath={.spec.podCIDRs[*]}"]).await?;
    let selector = ["pods", "-l", "app.kubernetes.io/component=gateway"];
    let pods = addresses(&[&selector[..], &["-o", "jsonpath={.items[*].status.podIPs[*].ip}"]].concat()).await?;
    let service = addresses(&["service", NAME, "-o", "jsonpath={.spec.clusterIPs[*]}"]).await?;
    for family in families.split_whitespace() {
        let of = |ip: &&IpAddr| ip.is_ipv6() == family.contains(':');
        let (pods, service) = (pods.iter().filter(of).count(), service.iter().find(of));
        ensure!(pods == 2 && service.is_some(), "{pods} pods and {service:?} of the family of {family}");
    }
    for ip in pods.into_iter().chain(service) {
        println!("reached at {ip}");
        let open = format!("exec 3<>/dev/tcp/{ip}/{GATEWAY_PORT}");
        run("docker", &["exec", node, "timeout", "10", "bash", "-c", &open], &[]).await?;
    }
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
        "image.repository=scalegate",
        "service.ipFamilyPolicy=PreferDualStack",
        "tests.enabled=false",
    ];
    let tag = format!("image.tag={TAG}");
    let mut arguments = vec!["install", RELEASE, "charts/scalegate", "-n", HOME, "--kube-as-user", INSTALLER];
    arguments.extend(["--wait", "--timeout", "3m"]);
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    arguments.extend(["--set-string", &tag]);
    helm(&arguments).await?;

    let manifest = helm(&["get", "manifest", RELEASE, "-n", HOME]).await?;
    assert!(!manifest.contains("kind: Cluster"), "a role of the cluster");
    let gateway = format!("--as=system:serviceaccount:{HOME}:{NAME}");
    for (verb, resource, namespace, wanted) in TABLE {
        let resource = &resource.replace("NAME", NAME);
        let place = if namespace.is_empty() { vec!["--all-namespaces"] } else { vec!["-n", namespace] };
        let (kind, subresource) = resource.split_once('/').unwrap_or((resource.as_str(), ""));
        // kubectl takes what follows a slash for a name.
        let kind = kind.replace(':', "/");
        let subresource = format!("--subresource={subresource}");
        let asked = [&["auth", "can-i", verb, &kind, &subresource, &gateway][..], &place].concat();
        // `no` is a failure of kubectl's.
        let allowed = kubectl(&asked).await.is_ok_and(|answer| answer == "yes");
        println!("{:<5} {verb} {resource} in {}", if allowed { "yes" } else { "no" }, place.join(" "));
        assert_eq!(allowed, wanted, "{verb} {resource} {namespace}");
    }
    let lease = async || {
        kubectl(&["-n", HOME, "get", "lease", "-o", "name"]).await.map(|name| (!name.is_empty()).then_some(()))
    };
    eventually("a leader", lease).await?;
    reach_every_family().await?;
    remove().await
}
