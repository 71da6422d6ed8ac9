//! What the gateway needs: a control plane with one Deployment, certificates, and the example policy.

use std::path::{Path, PathBuf};

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use scalegate_tests::controlplane::{ControlPlane, ControlPlaneBinaries};
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::gateway::{Gateway, GatewayOptions};
use scalegate_tests::{policies, stack};

/// The namespace of the Deployment that is read. `default` is there without being created.
pub(crate) const NAMESPACE: &str = "default";
/// The Deployment that is read.
pub(crate) const NAME: &str = "web";

/// A control plane. Dropping it ends its processes.
#[derive(Debug)]
pub(crate) struct Cluster {
    control_plane: ControlPlane,
    work: PathBuf,
    policies: PathBuf,
    /// Where the certificates are.
    pub(crate) certs: PathBuf,
}

impl Cluster {
    /// Starts a control plane with its files under `work`, and waits until the Deployment is ready.
    pub(crate) async fn start(work: &Path) -> Result<Self> {
        let control_plane = ControlPlane::start(ControlPlaneBinaries::provide().await?, &work.join("cluster")).await?;
        let client = control_plane.client().await?;
        stack::install(&client).await?;
        create_deployment(&client).await?;
        let certs = stack::certificates(&work.join("certs"))?;
        let policies = work.join("policies");
        policies::copy("normal", &policies)?;
        Ok(Self { control_plane, work: work.to_owned(), policies, certs })
    }

    /// Starts the gateway and waits until it is ready.
    pub(crate) async fn gateway(&self) -> Result<Gateway> {
        let kubeconfig = self.control_plane.kubeconfig_for_service_account(stack::SYSTEM, stack::SYSTEM).await?;
        let options = GatewayOptions::new("gateway", kubeconfig, self.certs.clone(), self.policies.clone());
        Gateway::start(&self.work, &options).await
    }

    /// Ends its processes in order, and waits for the end.
    pub(crate) async fn stop(self) -> Result<()> {
        self.control_plane.stop().await
    }
}

async fn create_deployment(client: &Client) -> Result<()> {
    deployment(NAMESPACE, NAME).create(client).await?;
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    wait_for(&api, NAME, "the Deployment to be ready", |deployment: &Deployment| {
        deployment.status.as_ref().is_some_and(|status| status.ready_replicas == Some(1))
    })
    .await?;
    Ok(())
}
