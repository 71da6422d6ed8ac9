//! A real Kubernetes control plane out of child processes: etcd, kube-apiserver, kube-controller-manager,
//! kube-scheduler, and KWOK to play a node.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::fixtures::wait_for;
use crate::pki::{Pair, Pki};
use crate::process::{Process, workspace};

/// How long the API server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// The controllers that Deployments need, and the tidying up.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,namespace-controller,serviceaccount-controller,\
                           garbage-collector-controller,node-lifecycle-controller,clusterrole-aggregation-controller";

/// A running control plane. Dropping it ends its processes.
#[derive(Debug)]
pub struct ControlPlane {
    binaries: PathBuf,
    work: PathBuf,
    url: String,
    ca: PathBuf,
    admin: PathBuf,
    api_server_arguments: Vec<String>,
    api_server: Mutex<Option<Process>>,
    /// In the order in which they are ended: what talks to etcd before etcd.
    others: Vec<Process>,
}

/// The directory of the built programs: `SCALEGATE_CONTROLPLANE`, or what the build script made.
pub fn binaries() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("SCALEGATE_CONTROLPLANE") {
        return Ok(directory.into());
    }
    let script = workspace().join("tests/controlplane/build.sh");
    let output = std::process::Command::new(&script).stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} failed", script.display());
    let directory = String::from_utf8(output.stdout)?;
    Ok(directory.trim().into())
}

impl ControlPlane {
    /// Starts the programs in `binaries`, with their files under `work`, and waits until a node is ready.
    pub async fn start(binaries: &Path, work: &Path) -> Result<Self> {
        std::fs::create_dir_all(work)?;
        let pki = Pki::new(&work.join("pki"))?;
        let [etcd_port, peer_port, api_port] = free_ports()?;
        let url = format!("https://127.0.0.1:{api_port}");
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let admin = pki.client("admin", "admin", Some("system:masters"))?;
        let admin = write_kubeconfig(&work.join("admin.kubeconfig"), &url, &pki.ca, &with_certificate(&admin))?;

        let etcd = Process::spawn("etcd", &binaries.join("etcd"), &etcd_arguments(work, &etcd_url, peer_port), work)?;
        let mut plane = Self {
            binaries: binaries.to_owned(),
            work: work.to_owned(),
            ca: pki.ca.clone(),
            admin,
            api_server_arguments: api_server_arguments(&pki, api_port, &etcd_url)?,
            api_server: Mutex::new(None),
            others: vec![etcd],
            url,
        };
        plane.start_api_server().await?;
        plane.start_controllers(&pki)?;
        let nodes: Api<Node> = Api::all(plane.client().await?);
        let node = json!({"metadata": {"name": "node-1"}, "spec": {}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
        wait_for(&nodes, "node-1", "the node to be ready", node_is_ready)
            .await
            .map_err(|error| plane.explain(error))?;
        Ok(plane)
    }

    fn start_controllers(&mut self, pki: &Pki) -> Result<()> {
        let kubeconfig = |name: &str, user: &str, group: Option<&str>| -> Result<String> {
            let pair = pki.client(name, user, group)?;
            let path = self.work.join(format!("{name}.kubeconfig"));
            Ok(write_kubeconfig(&path, &self.url, &self.ca, &with_certificate(&pair))?.display().to_string())
        };
        let manager = kubeconfig("controller-manager", "system:kube-controller-manager", None)?;
        let scheduler = kubeconfig("scheduler", "system:kube-scheduler", None)?;
        let kwok = kubeconfig("kwok", "kwok", Some("system:masters"))?;
        let stages = workspace().join("tests/controlplane/stages.yaml");
        let programs = [
            (
                "kube-controller-manager",
                vec![
                    format!("--kubeconfig={manager}"),
                    format!("--authentication-kubeconfig={manager}"),
                    format!("--authorization-kubeconfig={manager}"),
                    format!("--controllers={CONTROLLERS}"),
                    "--use-service-account-credentials=true".into(),
                    "--leader-elect=false".into(),
                    "--secure-port=0".into(),
                    "--kube-api-qps=200".into(),
                    "--kube-api-burst=400".into(),
                ],
            ),
            (
                "kube-scheduler",
                vec![
                    format!("--kubeconfig={scheduler}"),
                    format!("--authentication-kubeconfig={scheduler}"),
                    format!("--authorization-kubeconfig={scheduler}"),
                    "--leader-elect=false".into(),
                    "--secure-port=0".into(),
                ],
            ),
            (
                "kwok",
                vec![
                    format!("--kubeconfig={kwok}"),
                    format!("--config={}", stages.display()),
                    "--manage-all-nodes=true".into(),
                    "--node-lease-duration-seconds=40".into(),
                ],
            ),
        ];
        for (name, arguments) in programs {
            let process = Process::spawn(name, &self.binaries.join(name), &arguments, &self.work)?;
            self.others.insert(0, process);
        }
        Ok(())
    }

    /// Starts the API server, on the same port and data as before, and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        let name = "kube-apiserver";
        let mut process =
            Process::spawn(name, &self.binaries.join(name), &self.api_server_arguments, &self.work.join(name))?;
        let client = self.client().await?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let last = client.request_text(http::Request::get("/readyz").body(Vec::new())?).await;
            if last.as_deref().is_ok_and(|text| text == "ok") {
                break;
            }
            ensure!(process.is_running(), "the API server ended; {}", process.log_tail());
            ensure!(Instant::now() < deadline, "the API server is not ready: {last:?}; {}", process.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        *self.api_server.lock().await = Some(process);
        Ok(())
    }

    /// Stops the API server and waits for its end; etcd keeps the data.
    pub async fn stop_api_server(&self) -> Result<()> {
        match self.api_server.lock().await.take() {
            Some(process) => process.kill().await,
            None => bail!("the API server does not run"),
        }
    }

    /// A new client with all rights. Each belongs to the runtime that uses it.
    pub async fn client(&self) -> Result<Client> {
        client(&self.admin).await
    }

    /// A kubeconfig with all rights.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// A kubeconfig with a token of a service account, valid for a day.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer.status.context("the API server gave no token")?.token;
        let path = self.work.join(format!("{namespace}-{name}.kubeconfig"));
        write_kubeconfig(&path, &self.url, &self.ca, &json!({ "token": token }))
    }

    /// The API server's own metrics, in Prometheus' text form.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.client().await?.request_text(http::Request::get("/metrics").body(Vec::new())?).await?)
    }

    /// Adds what the processes last said.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let logs: Vec<_> = self.others.iter().map(Process::log_tail).collect();
        error.context(logs.join("\n"))
    }
}

/// A client for the account of a kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    // The process may hold only one default provider; the first to come sets it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config =
        Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn node_is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let untainted = node.spec.as_ref().is_none_or(|spec| spec.taints.as_ref().is_none_or(Vec::is_empty));
    untainted && conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

fn etcd_arguments(work: &Path, url: &str, peer_port: u16) -> Vec<String> {
    let peer = format!("http://127.0.0.1:{peer_port}");
    vec![
        format!("--data-dir={}", work.join("etcd").display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server_arguments(pki: &Pki, port: u16, etcd_url: &str) -> Result<Vec<String>> {
    let serving = pki.server("apiserver")?;
    let accounts = pki.bare_keys("service-accounts")?;
    let path = |path: &Path| path.display().to_string();
    Ok(vec![
        format!("--etcd-servers={etcd_url}"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", path(&serving.certificate)),
        format!("--tls-private-key-file={}", path(&serving.key)),
        format!("--client-ca-file={}", path(&pki.ca)),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", path(&accounts.certificate)),
        format!("--service-account-signing-key-file={}", path(&accounts.key)),
        "--authorization-mode=RBAC".into(),
        // Pods of a new namespace need not wait for its default account.
        "--disable-admission-plugins=ServiceAccount".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--endpoint-reconciler-type=none".into(),
        // What stopped within the test need not wait for long-lived requests.
        "--shutdown-delay-duration=0s".into(),
    ])
}

fn with_certificate(pair: &Pair) -> Value {
    json!({ "client-certificate": pair.certificate, "client-key": pair.key })
}

fn write_kubeconfig(path: &Path, url: &str, ca: &Path, user: &Value) -> Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "local", "cluster": { "server": url, "certificate-authority": ca } }],
        "users": [{ "name": "local", "user": user }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
        "current-context": "local",
    });
    std::fs::write(path, serde_json::to_string_pretty(&config)?)?;
    Ok(path.to_owned())
}

/// Ports that were free a moment ago, held together so that they differ. The system hands out others to whoever asks
/// for any port meanwhile, so only a program that insists on one of these could come between.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
