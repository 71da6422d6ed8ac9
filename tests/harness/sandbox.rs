//! The environment of `make demo` and `make dev`: a control plane, the product on it, and a namespace `demo`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::process::Command;

use crate::controlplane::{ControlPlane, ControlPlaneBinaries};
use crate::fixtures::{deployment, wait_for};
use crate::gateway::{Gateway, GatewayOptions};
use crate::paths::repository;
use crate::{policies, stack};

/// The namespace of the example Deployments.
pub const NAMESPACE: &str = "demo";

/// A running environment. Dropping it ends all its processes.
#[derive(Debug)]
pub struct Sandbox {
    /// The gateway. Fields drop in this order: the gateway before what it talks to.
    pub gateway: Gateway,
    /// The control plane.
    pub control_plane: ControlPlane,
    /// Where the certificates are, as `make certs` lays them out.
    pub certs: PathBuf,
    /// The directory that the gateway takes its policies from, live.
    pub policies: PathBuf,
}

impl Sandbox {
    /// Starts everything with its files under `work`, telling `progress` what is being done. The gateway listens on
    /// `listen` and `admin` where these ports are free, else on any.
    pub async fn start(work: &Path, listen: u16, admin: u16, progress: impl Fn(&str)) -> Result<Self> {
        std::fs::create_dir_all(work)?;
        let binaries = ControlPlaneBinaries::provide().await?;
        progress("starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and a node that KWOK plays");
        let control_plane = ControlPlane::start(binaries, &work.join("cluster")).await?;
        let client = control_plane.client().await?;

        progress("installing the CRD and the roles; creating Deployments web, api and worker in namespace demo");
        stack::install(&client).await?;
        deployments(&client).await?;

        progress("minting certificates for viewer, operator, ci and stranger");
        let certs = stack::certificates(&work.join("certs"))?;
        let policies = work.join("policies");
        policies::copy("normal", &policies)?;

        progress("starting the gateway");
        let kubeconfig = control_plane.kubeconfig_for_service_account(stack::SYSTEM, stack::SYSTEM).await?;
        let options = GatewayOptions {
            listen: free_or_any(listen),
            admin: free_or_any(admin),
            ..GatewayOptions::new("gateway", kubeconfig, certs.clone(), policies.clone())
        };
        let gateway = Gateway::start(work, &options).await?;
        Ok(Self { gateway, control_plane, certs, policies })
    }

    /// The gateway's URL, by the name in its certificate.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.gateway.address.port())
    }

    /// Writes a file of the client's contexts: `dev`, the current one, is the operator, and `dev-viewer` the viewer.
    pub async fn write_contexts(&self, file: &Path) -> Result<()> {
        write_contexts(file, "dev", &self.url(), &self.certs, NAMESPACE).await
    }

    /// Ends everything in order, and waits for the end.
    pub async fn stop(self) -> Result<()> {
        self.gateway.terminate().await?;
        self.control_plane.stop().await
    }
}

/// Writes a file of the client's contexts, as `make kind-deploy` does: `name`, the current one, is the operator, and
/// `name-viewer` the viewer.
pub async fn write_contexts(file: &Path, name: &str, server: &str, certs: &Path, namespace: &str) -> Result<()> {
    let mut script = Command::new(repository().join("deploy/contexts.sh"));
    let output = script.arg(file).args([name, server]).arg(certs).arg(namespace).output().await?;
    ensure!(output.status.success(), "deploy/contexts.sh: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The end of a program that people run: what went wrong in one line, without a backtrace.
pub fn conclude(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn deployments(client: &Client) -> Result<()> {
    let metadata = ObjectMeta { name: Some(NAMESPACE.into()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    let web = deployment(NAMESPACE, "web").replicas(3).label("tier", "front");
    web.annotation("scalegate.dev/min-replicas", "2")
        .annotation("scalegate.dev/max-replicas", "10")
        .create(client)
        .await?;
    deployment(NAMESPACE, "api").replicas(2).label("tier", "front").create(client).await?;
    deployment(NAMESPACE, "worker").replicas(1).label("tier", "back").create(client).await?;
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    for name in ["web", "api", "worker"] {
        wait_for(&api, name, "the Deployment to be ready", |deployment: &Deployment| {
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            deployment.status.as_ref().is_some_and(|status| status.ready_replicas == wanted)
        })
        .await?;
    }
    Ok(())
}

fn free_or_any(port: u16) -> SocketAddr {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    SocketAddr::from((Ipv4Addr::LOCALHOST, if free { port } else { 0 }))
}
