//! One control plane and one gateway for a whole run of the integration tests.
//!
//! Tests that only look and write share the gateway and run side by side, each in a namespace of its own:
//! [`shared`]. Tests that stop, crash or count something have the control plane to themselves: [`exclusive`].
//!
//! Gateways decide inline, as by default, unless a test asks for [`Deciding::Pooled`]. What is tested of policies is
//! tested both ways.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::client::Client;
use crate::controlplane::{ControlPlane, ControlPlaneBinaries};
use crate::gateway::{Gateway, GatewayOptions};
use crate::paths::{repository, scratch};
use crate::policies::{Deciding, copy_deciding};
use crate::poll::eventually;
use crate::{fixtures, kubeconfig, stack};

/// Names the kubeconfig of a cluster to test on instead of a control plane of our own. Its administrator installs the
/// CRD and the roles; nothing of the cluster is stopped or started.
const KUBECONFIG_VARIABLE: &str = "SCALEGATE_TEST_KUBECONFIG";

static SUITE: OnceCell<Suite> = OnceCell::const_new();

/// What is started once.
#[derive(Debug)]
struct Suite {
    control_plane: ControlPlane,
    work: PathBuf,
    certs: PathBuf,
    kubeconfig: PathBuf,
    /// Held for reading by tests that share, for writing by one that does not.
    turn: RwLock<()>,
    /// One for each way of deciding, once a test has asked for it.
    gateways: Mutex<HashMap<Deciding, Gateway>>,
}

impl Suite {
    async fn start() -> Result<Self> {
        let work = scratch("it")?.join(std::process::id().to_string());
        std::fs::create_dir_all(&work)?;
        let cluster = work.join("cluster");
        let control_plane = match std::env::var_os(KUBECONFIG_VARIABLE) {
            Some(kubeconfig) => ControlPlane::external(Path::new(&kubeconfig), &cluster).await?,
            None => ControlPlane::start(ControlPlaneBinaries::provide().await?, &cluster).await?,
        };
        stack::install(&control_plane.client().await?).await?;
        let kubeconfig = control_plane.kubeconfig_for_service_account(stack::SYSTEM, stack::SYSTEM).await?;
        let certs = stack::certificates(&work.join("certs"))?;
        Ok(Self { control_plane, work, certs, kubeconfig, turn: RwLock::new(()), gateways: Mutex::default() })
    }
}

async fn suite() -> Result<&'static Suite> {
    SUITE.get_or_try_init(Suite::start).await
}

/// The control plane and the gateway that tests share.
pub async fn shared() -> Result<Shared> {
    shared_deciding(Deciding::Inline).await
}

/// The same with a gateway that decides so.
pub async fn shared_deciding(deciding: Deciding) -> Result<Shared> {
    let suite = suite().await?;
    let turn = suite.turn.read().await;
    let mut gateways = suite.gateways.lock().await;
    let running = match gateways.entry(deciding) {
        Entry::Occupied(running) => running.into_mut(),
        Entry::Vacant(none) => {
            let mut options = suite.options(&format!("shared-{}", deciding.name()));
            options.policies = suite.work.join(format!("policies-{}", deciding.name()));
            copy_deciding("normal", deciding, &options.policies)?;
            none.insert(Gateway::start(&suite.work, &options).await?)
        }
    };
    let view = GatewayView { address: running.address, admin: running.admin, log: running.log_path().to_owned() };
    Ok(Shared { suite, gateway: view, _turn: turn })
}

/// The control plane for one test alone; no gateway runs but those that it starts.
pub async fn exclusive() -> Result<Exclusive> {
    let suite = suite().await?;
    let turn = suite.turn.write().await;
    for (_, gateway) in suite.gateways.lock().await.drain() {
        gateway.terminate().await?;
    }
    Ok(Exclusive { suite, _turn: turn })
}

#[derive(Debug)]
struct GatewayView {
    address: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    log: PathBuf,
}

/// See [`shared`].
#[derive(Debug)]
pub struct Shared {
    suite: &'static Suite,
    gateway: GatewayView,
    _turn: RwLockReadGuard<'static, ()>,
}

/// See [`exclusive`].
#[derive(Debug)]
pub struct Exclusive {
    suite: &'static Suite,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl Suite {
    fn options(&self, name: &str) -> GatewayOptions {
        let policies = repository().join("target/policies/normal");
        GatewayOptions::new(name, self.kubeconfig.clone(), self.certs.clone(), policies)
    }
}

impl Shared {
    /// A caller of the shared gateway.
    pub fn client(&self, name: &str) -> Result<Client> {
        Client::with_certificate(self.gateway.address, &self.suite.certs, name)
    }

    /// Where the shared gateway serves.
    pub fn address(&self) -> std::net::SocketAddr {
        self.gateway.address
    }

    /// Where the certificates are.
    pub fn certs(&self) -> &Path {
        &self.suite.certs
    }

    /// An administrator's client of the cluster.
    pub async fn kube(&self) -> Result<kube::Client> {
        self.suite.control_plane.client().await
    }

    /// The administrator's kubeconfig.
    pub fn administrator(&self) -> &Path {
        self.suite.control_plane.kubeconfig_admin()
    }

    /// A client of the cluster for the user `name`, who may do what roles allow.
    pub async fn kube_as(&self, name: &str) -> Result<kube::Client> {
        let mut config = kubeconfig::config(self.suite.control_plane.kubeconfig_admin()).await?;
        config.auth_info.impersonate = Some(name.to_owned());
        Ok(kube::Client::try_from(config)?)
    }

    /// The shared gateway's metrics, as Prometheus reads them.
    pub async fn metrics(&self) -> Result<String> {
        let (_, text) = crate::gateway::plain_get(self.gateway.admin, "/metrics").await?;
        Ok(text)
    }

    /// The gateway's kubeconfig, with its account's token.
    pub fn gateway_kubeconfig(&self) -> &Path {
        &self.suite.kubeconfig
    }

    /// A kubeconfig for an account of [`stack::SYSTEM`].
    pub async fn kubeconfig_for(&self, account: &str) -> Result<PathBuf> {
        self.suite.control_plane.kubeconfig_for_service_account(stack::SYSTEM, account).await
    }

    /// A new namespace.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        fixtures::namespace(&self.kube().await?, prefix).await
    }

    /// The file of the gateway's log and of its audit records.
    pub fn gateway_log_path(&self) -> &Path {
        &self.gateway.log
    }

    /// The gateway's log so far.
    pub fn gateway_log(&self) -> Vec<Value> {
        crate::gateway::read_log(&self.gateway.log)
    }

    /// Waits for the audit record of `kind` about the decision `id`.
    pub async fn record(&self, kind: &str, id: &str) -> Result<Value> {
        record(&self.gateway.log, kind, id).await
    }

    /// Waits until the gateway shows a Deployment.
    pub async fn wait_seen(&self, namespace: &str, name: &str) -> Result<()> {
        wait_seen(&self.client("viewer")?, namespace, name).await
    }

    /// Waits until the gateway shows that a Deployment's wanted `replicas` are applied and ready; the answer that shows it.
    pub async fn wait_ready(&self, client: &Client, namespace: &str, name: &str, replicas: i64) -> Result<Value> {
        wait_ready(client, namespace, name, replicas).await
    }
}

impl Exclusive {
    /// What to start a gateway with; fields can be changed.
    pub fn options(&self, name: &str) -> GatewayOptions {
        self.suite.options(name)
    }

    /// Starts a gateway.
    pub async fn start(&self, options: &GatewayOptions) -> Result<Gateway> {
        Gateway::start(&self.suite.work, options).await
    }

    /// Starts a gateway that may never become ready.
    pub async fn launch(&self, options: &GatewayOptions) -> Result<Gateway> {
        Gateway::launch(&self.suite.work, options).await
    }

    /// A kubeconfig for an account of [`stack::SYSTEM`].
    pub async fn kubeconfig_for(&self, account: &str) -> Result<PathBuf> {
        self.suite.control_plane.kubeconfig_for_service_account(stack::SYSTEM, account).await
    }

    /// The control plane, for a test that counts what it does or stops it; `None`, after saying so, where the cluster is
    /// not ours alone.
    pub fn own_control_plane(&self) -> Option<&ControlPlane> {
        if !self.suite.control_plane.is_owned() {
            println!("skipped: it needs a control plane of its own, and {KUBECONFIG_VARIABLE} names another");
            return None;
        }
        Some(&self.suite.control_plane)
    }

    /// An administrator's client of the cluster.
    pub async fn kube(&self) -> Result<kube::Client> {
        self.suite.control_plane.client().await
    }

    /// A new namespace.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        fixtures::namespace(&self.kube().await?, prefix).await
    }

    /// A directory for the test's own files.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.suite.work.join(name);
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }
}

/// The path of a Deployment's replicas.
pub fn replicas(namespace: &str, name: &str) -> String {
    format!("/v1/namespaces/{namespace}/deployments/{name}/replicas")
}

/// Waits until `file` has the audit record of `kind` about the decision `id`.
pub async fn record(file: &Path, kind: &str, id: &str) -> Result<Value> {
    eventually("the audit record", async || {
        let all = crate::gateway::read_records(file);
        Ok(all.into_iter().find(|record| record["kind"] == kind && record["decisionId"] == id))
    })
    .await
}

/// Waits until a gateway shows a Deployment.
pub async fn wait_seen(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let path = replicas(namespace, name);
    eventually("the gateway to see the Deployment", async || Ok((client.get(&path).await?.status == 200).then_some(())))
        .await
}

/// Waits until a gateway shows that a Deployment's wanted `replicas` are applied and ready; the answer that shows it.
pub async fn wait_ready(client: &Client, namespace: &str, name: &str, replicas_: i64) -> Result<Value> {
    let path = replicas(namespace, name);
    eventually(&format!("{namespace}/{name} to have {replicas_} ready replicas"), async || {
        let answer = client.get(&path).await?;
        let view = answer.json();
        let ready = view["progress"]["ready"] == true && view["status"]["readyReplicas"] == replicas_;
        Ok(ready.then_some(view))
    })
    .await
}
