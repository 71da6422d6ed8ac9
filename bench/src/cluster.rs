//! What the gateway needs: a control plane with Deployments, certificates, and the example policy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use scalegate_tests::client::Client;
use scalegate_tests::controlplane::{ControlPlane, ControlPlaneBinaries, Paused};
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::gateway::{Gateway, GatewayOptions};
use scalegate_tests::policies::Deciding;
use scalegate_tests::{policies, stack};

use crate::measure::{Reached, Server};

/// The namespace of the Deployment that is read. `default` is there without being created.
pub(crate) const NAMESPACE: &str = "default";
/// The Deployment that is read.
pub(crate) const NAME: &str = "web";
/// How many Deployments a list shows.
pub(crate) const PAGE: usize = 500;
/// How many Deployments are created at once.
const AT_ONCE: usize = 16;

/// A control plane. Dropping it ends its processes.
#[derive(Debug)]
pub(crate) struct Cluster {
    control_plane: ControlPlane,
    work: PathBuf,
    /// The directory with the policies of all gateways.
    pub(crate) policies: PathBuf,
    /// Where the certificates are.
    pub(crate) certs: PathBuf,
}

impl Cluster {
    /// Starts a control plane with its files under `work`, and waits until the Deployment that is read is ready.
    pub(crate) async fn start(work: &Path) -> Result<Self> {
        let cluster = Self::empty(work).await?;
        create_deployments(&cluster.client().await?).await?;
        Ok(cluster)
    }

    /// Starts a control plane with its files under `work`, without Deployments.
    pub(crate) async fn empty(work: &Path) -> Result<Self> {
        let control_plane = ControlPlane::start(ControlPlaneBinaries::provide().await?, &work.join("cluster")).await?;
        let client = control_plane.client().await?;
        stack::install(&client).await?;
        let certs = stack::certificates(&work.join("certs"))?;
        let policies = work.join("policies");
        policies::copy("normal", &policies)?;
        Ok(Self { control_plane, work: work.to_owned(), policies, certs })
    }

    /// Starts a gateway with what `change` makes of its options, and waits until it is ready.
    pub(crate) async fn gateway(&self, name: &str, change: impl FnOnce(&mut GatewayOptions)) -> Result<Gateway> {
        let kubeconfig = self.control_plane.kubeconfig_for_service_account(stack::SYSTEM, stack::SYSTEM).await?;
        let mut options = GatewayOptions::new(name, kubeconfig, self.certs.clone(), self.policies.clone());
        change(&mut options);
        Gateway::start(&self.work, &options).await
    }

    /// Stops the controllers for as long as the result lives.
    pub(crate) async fn without_controllers(&self) -> Result<Paused> {
        Paused::controllers(&self.control_plane).await
    }

    /// An administrator's client of the cluster.
    pub(crate) async fn client(&self) -> Result<kube::Client> {
        self.control_plane.client().await
    }

    /// Starts a gateway under another program, which may make it very slow, and waits until it is ready. Its policy has
    /// a deadline of a second, so it decides in slots.
    pub(crate) async fn gateway_under(&self, name: &str, under: Vec<String>) -> Result<Gateway> {
        let kubeconfig = self.control_plane.kubeconfig_for_service_account(stack::SYSTEM, stack::SYSTEM).await?;
        let patient = self.patient_policies();
        if patient.exists() {
            // An earlier run left the policies that it measured last.
            std::fs::remove_dir_all(&patient)?;
        }
        policies::copy_deciding("normal", Deciding::Pooled, &patient)?;
        let options = GatewayOptions::new(name, kubeconfig, self.certs.clone(), patient);
        Gateway::start(&self.work, &GatewayOptions { under, ..options }).await
    }

    /// The directory with the policies of such gateways.
    pub(crate) fn patient_policies(&self) -> PathBuf {
        self.work.join("patient-policies")
    }

    /// The API server, as its administrator with a client certificate reaches it.
    pub(crate) async fn api_server(&self) -> Result<Server> {
        let url: http::Uri = self.control_plane.api_url().parse()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, url.port_u16().context("the API server has no port")?));
        let file = |name: &str| self.work.join("cluster/pki").join(name);
        let client = Client::with_files(address, &file("ca.pem"), &file("admin.pem"), &file("admin-key.pem"))?;
        let processes = self.control_plane.processes().await?;
        let process = processes.into_iter().find(|(name, _)| name == "kube-apiserver").context("no API server")?;
        Ok(Server { reached: Reached::Tls(client), processes: vec![process.1], question: String::new(), log: None })
    }

    /// Ends its processes in order, and waits for the end.
    pub(crate) async fn stop(self) -> Result<()> {
        self.control_plane.stop().await
    }
}

async fn create_deployments(client: &kube::Client) -> Result<()> {
    deployment(NAMESPACE, NAME).create(client).await?;
    let others = (1..PAGE).map(|number| async move {
        let name = format!("other-{number:03}");
        deployment(NAMESPACE, &name).paused().create(client).await
    });
    stream::iter(others).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    wait_for(&api, NAME, "the Deployment to be ready", |deployment: &Deployment| {
        deployment.status.as_ref().is_some_and(|status| status.ready_replicas == Some(1))
    })
    .await?;
    Ok(())
}
