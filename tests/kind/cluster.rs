//! The cluster, by the programs that people use on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scalegate_tests::client::{Answer, Client};
use scalegate_tests::paths::repository;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::{Value, json};
use tokio::process::Command;

/// Where the release lives.
pub(crate) const RELEASE: &str = "scalegate";
/// The namespace of the Deployments that are scaled.
pub(crate) const DEMO: &str = "demo";
/// The labels of the gateway's pods.
pub(crate) const GATEWAYS: &str = "app.kubernetes.io/instance=scalegate,app.kubernetes.io/component=gateway";
/// The port of the gateway's pods, and of its Service.
pub(crate) const GATEWAY_PORT: u16 = 8443;
/// How long something that should happen may take. The kubelet updates changed volumes within a minute or two.
const PATIENCE: Duration = Duration::from_mins(4);

/// The administrator's kubeconfig.
pub(crate) fn kubeconfig() -> PathBuf {
    repository().join("target/kind/kubeconfig")
}

async fn output(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository()).env("KUBECONFIG", kubeconfig()).envs(environment.iter().copied());
    command.kill_on_drop(true).output().await.with_context(|| format!("cannot start {program}"))
}

/// What a program prints; an error with what it complained of, if it fails.
pub(crate) async fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<String> {
    let output = output(program, arguments, environment).await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), complaint.trim());
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// See [`run`].
pub(crate) async fn kubectl(arguments: &[&str]) -> Result<String> {
    run("kubectl", arguments, &[]).await
}

/// See [`run`].
pub(crate) async fn helm(arguments: &[&str]) -> Result<String> {
    run("helm", arguments, &[]).await
}

/// The nodes, which are containers of the same names.
pub(crate) async fn nodes() -> Result<Vec<String>> {
    let names = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]).await?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

/// What kubectl complains of; an error if it does not.
pub(crate) async fn kubectl_refused(arguments: &[&str]) -> Result<String> {
    let output = output("kubectl", arguments, &[]).await?;
    ensure!(!output.status.success(), "kubectl {} went through", arguments.join(" "));
    Ok(String::from_utf8(output.stderr)?)
}

/// `make kind-deploy`, but for building: with this image and these rules.
pub(crate) async fn deploy(image: &str, policies: &str) -> Result<String> {
    let environment = [("IMAGE", image), ("POLICIES", policies), ("VALUES", "deploy/kind/values.yaml")];
    run("deploy/deploy.sh", &[], &environment).await
}

/// Gives Helm back what kubectl has edited.
pub(crate) async fn hand_back() -> Result<String> {
    let environment = [("VALUES", "deploy/kind/values.yaml"), ("HELM_FLAGS", "--force-conflicts")];
    run("deploy/deploy.sh", &[], &environment).await
}

/// A client outside of the cluster, with a certificate of `make certs`, through the node's port.
pub(crate) fn client(name: &str) -> Result<Client> {
    let port = std::env::var("KIND_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8443);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Client::with_certificate(address, &repository().join("certs/dev"), name)
}

/// Asks for the count that `demo/web` has, and decides only: refused by nothing but a freeze.
pub(crate) async fn would_set() -> Result<Answer> {
    let (operator, web) = (client("operator")?, suite::replicas(DEMO, "web"));
    let now = operator.get(&web).await?.json();
    operator.put(&format!("{web}?dryRun=true"), &json!({"replicas": now["spec"]["replicas"]})).await
}

/// The gateway's pods, each by its uid with the restarts of its container.
pub(crate) async fn pods() -> Result<Vec<(String, u64)>> {
    let pods = kubectl(&["-n", RELEASE, "get", "pods", "-l", GATEWAYS, "-o", "json"]).await?;
    let pods: Value = serde_json::from_str(&pods)?;
    let of = |pod: &Value| {
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default();
        Some((pod["metadata"]["uid"].as_str()?.to_owned(), restarts))
    };
    let pods = pods["items"].as_array().into_iter().flatten();
    let running =
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running");
    Ok(running.filter_map(of).collect())
}

/// The pod that leads.
pub(crate) async fn leader() -> Result<String> {
    kubectl(&["-n", RELEASE, "get", "lease", RELEASE, "-o", "jsonpath={.spec.holderIdentity}"]).await
}

/// The count in a Deployment's spec.
pub(crate) async fn count(namespace: &str, name: &str) -> Result<String> {
    kubectl(&["-n", namespace, "get", "deployment", name, "-o", "jsonpath={.spec.replicas}"]).await
}

/// Asks until `question` has an answer, or patience ends.
pub(crate) async fn eventually<T>(what: &str, question: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    poll::eventually_within(PATIENCE, what, question).await
}
