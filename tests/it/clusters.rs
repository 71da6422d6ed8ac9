//! Which cluster is asked, where more than one could be: a pod's own comes before the one of `KUBECONFIG`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};
use scalegate_tests::gateway::{Gateway, GatewayOptions};
use scalegate_tests::kubeconfig;
use scalegate_tests::paths::binary;
use scalegate_tests::poll;
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::suite::{self, Exclusive};
use serde_json::Value;

/// Runs a program where the kubelet's mount of the service account is the directory `$0`, or nothing if that is empty.
const MOUNT: &str = "set -e
mount -t tmpfs none /var/run
mkdir -p /var/run/secrets/kubernetes.io
[ -z \"$0\" ] || cp -r \"$0\" /var/run/secrets/kubernetes.io/serviceaccount
exec \"$@\"";

/// What runs a program as in a pod.
struct Pod {
    /// The files of its account; none has no account.
    account: Option<PathBuf>,
    api_server: String,
    kubeconfig: PathBuf,
}

impl Pod {
    /// The program and the arguments to run another under.
    fn under(&self) -> Result<Vec<String>> {
        let address = self.api_server.strip_prefix("https://").context("an address")?;
        let (host, port) = address.trim_end_matches('/').rsplit_once(':').context("a port")?;
        let account = self.account.as_ref().map(|account| account.display().to_string());
        let words = [
            "env",
            &format!("KUBECONFIG={}", self.kubeconfig.display()),
            &format!("KUBERNETES_SERVICE_HOST={host}"),
            &format!("KUBERNETES_SERVICE_PORT={port}"),
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            MOUNT,
            account.as_deref().unwrap_or_default(),
        ];
        Ok(words.map(str::to_owned).to_vec())
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output> {
        let mut words = self.under()?.into_iter();
        let mut command = Command::new(words.next().context("a program")?);
        Ok(command.args(words).arg(program).args(arguments).output()?)
    }
}

/// A pod whose account is the gateway's, if this machine lets a process mount directories.
fn pod(suite: &Exclusive, options: &GatewayOptions, name: &str) -> Result<Option<Pod>> {
    let Some(plane) = suite.own_control_plane() else { return Ok(None) };
    let directory = suite.directory(name)?;
    let account = directory.join("account");
    std::fs::create_dir_all(&account)?;
    let kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(options.kubeconfig.as_ref().context("a kubeconfig")?)?)?;
    let text = |pointer: &str| kubeconfig.pointer(pointer).and_then(Value::as_str).context("a kubeconfig of ours");
    std::fs::write(account.join("token"), text("/users/0/user/token")?)?;
    std::fs::copy(text("/clusters/0/cluster/certificate-authority")?, account.join("ca.crt"))?;
    std::fs::write(account.join("namespace"), &options.namespace)?;
    let (account, api_server) = (Some(account), plane.api_url().to_owned());
    let pod = Pod { account, api_server, kubeconfig: directory.join("kubeconfig") };
    if !pod.run(Path::new("true"), &[])?.status.success() {
        println!("skipped: this machine lets no process mount a directory for itself");
        return Ok(None);
    }
    Ok(Some(pod))
}

/// Writes a kubeconfig of a cluster that nobody would reach.
fn elsewhere(path: &Path, options: &GatewayOptions) -> Result<()> {
    let server = format!("https://127.0.0.1:{}", ReservedPort::reserve()?.release());
    kubeconfig::write_with_server(path, options.kubeconfig.as_ref().context("a kubeconfig")?, &server)
}

/// Waits until a gateway has seen its cluster; where it says that its way there comes from.
async fn origin(gateway: &Gateway) -> Result<String> {
    poll::eventually("the gateway to be ready", async || Ok((gateway.admin("/readyz").await?.0 == 200).then_some(())))
        .await?;
    let chosen = gateway.log().into_iter().find(|line| line["message"] == "cluster chosen").context("no line")?;
    Ok(chosen["origin"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_pods_own_cluster_is_asked_whatever_kubeconfig_says() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = suite.options("own-cluster");
    let Some(mut pod) = pod(&suite, &options, "own-cluster")? else { return Ok(()) };
    elsewhere(&pod.kubeconfig, &options)?;
    let named = options.kubeconfig.take();
    options.under = pod.under()?;
    let gateway = suite.launch(&options).await?;
    assert_eq!(origin(&gateway).await?, "the pod's service account");
    gateway.terminate().await?;

    // The API server, and not a closed port, refuses: the account may not read Secrets.
    let arguments = ["dev-certs", "--namespace", &options.namespace, "--secrets", "dev"];
    let output = pod.run(&binary("scalegate")?, &arguments)?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("Secret dev-tls") && told.contains("forbidden"), "{told}");

    // A kubeconfig that is named comes first.
    let own = named.context("a kubeconfig")?;
    options.kubeconfig = Some(own.clone());
    let gateway = suite.launch(&options).await?;
    assert_eq!(origin(&gateway).await?, own.display().to_string());
    gateway.terminate().await?;

    // Without an account, KUBECONFIG counts.
    options.kubeconfig = None;
    (pod.account, pod.kubeconfig) = (None, own);
    options.under = pod.under()?;
    let gateway = suite.launch(&options).await?;
    assert_eq!(origin(&gateway).await?, "KUBECONFIG or ~/.kube/config");
    gateway.terminate().await
}

#[tokio::test]
async fn a_pod_whose_account_is_broken_asks_no_other_cluster() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = suite.options("broken-account");
    let Some(mut pod) = pod(&suite, &options, "broken-account")? else { return Ok(()) };
    std::fs::remove_file(pod.account.as_ref().context("an account")?.join("ca.crt"))?;
    pod.kubeconfig = options.kubeconfig.take().context("a kubeconfig")?;
    options.under = pod.under()?;
    let error = suite.launch(&options).await.err().context("it serves")?;
    let told = format!("{error:#}");
    assert!(told.contains("kubernetes: the pod's service account cannot be used"), "{told}");
    assert!(told.contains("certificate bundle"), "{told}");
    Ok(())
}
