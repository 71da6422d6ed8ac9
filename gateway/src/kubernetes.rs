//! The connection to the API server.

pub mod call;
#[cfg(test)]
pub(crate) mod testing;
mod traced;

pub use traced::{naming_traces, traced};

use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::config;

/// How long the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the gateway's TLS provider the process default, for kube's clients.
pub fn install_tls_provider() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}

/// A client for the cluster that `settings` name: a kubeconfig, else the pod's own account, else the user's kubeconfig.
///
/// # Errors
///
/// When no configuration is found or it cannot be used; the API server itself is not asked anything.
pub async fn client(settings: &config::Kubernetes) -> Result<kube::Client> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let kubeconfig =
                Kubeconfig::read_from(path).with_context(|| format!("kubernetes.kubeconfig: {}", path.display()))?;
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?
        }
        None if settings.context.is_some() => kube::Config::from_kubeconfig(&options).await?,
        None => {
            kube::Config::infer().await.context("no cluster: neither a pod's account nor a kubeconfig was found")?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    kube::Client::try_from(config).context("the cluster's configuration cannot be used")
}
