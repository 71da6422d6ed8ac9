//! The connection to the API server.

pub mod call;
#[cfg(test)]
pub(crate) mod testing;
mod traced;

pub use traced::{naming_traces, traced};

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;

/// How long the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The token of a pod's service account, where the kubelet mounts it.
const ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Why there is no way to a cluster. The API server itself has not been asked anything.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The named kubeconfig cannot be used.
    #[error("the kubeconfig {} cannot be used", file.display())]
    Kubeconfig {
        /// The file.
        file: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// The pod has a service account that cannot be used. Another cluster is not asked instead.
    #[error("the pod's service account cannot be used; name a kubeconfig to reach a cluster without it")]
    Account(#[source] InClusterError),
    /// No kubeconfig is named, and there is no service account.
    #[error("no cluster: there is no service account here, and no kubeconfig that can be used")]
    NoCluster(#[source] KubeconfigError),
    /// A kubeconfig has what kube does not support.
    #[error("the configuration of the cluster at {server} cannot be used")]
    Unsupported {
        /// The API server.
        server: String,
        /// Why.
        source: kube::Error,
    },
}

/// Which cluster is asked, and as whom.
#[derive(Debug, PartialEq, Eq)]
enum Origin<'a> {
    /// The kubeconfig that was named.
    File(&'a Path),
    /// The pod's service account.
    Account,
    /// The user's kubeconfig: the files in `KUBECONFIG`, else `~/.kube/config`.
    User,
}

impl<'a> Origin<'a> {
    /// The account comes before the user's kubeconfig, the opposite of kube's order: `KUBECONFIG` is meant for kubectl,
    /// and a gateway that took it from a pod's environment would set counts in another cluster.
    fn new(kubeconfig: Option<&'a Path>, context: Option<&str>, has_account: bool) -> Self {
        match (kubeconfig, context) {
            (Some(file), _) => Self::File(file),
            (None, None) if has_account => Self::Account,
            // A context only has a meaning in a kubeconfig.
            (None, _) => Self::User,
        }
    }

    async fn config(&self, context: Option<&str>) -> Result<kube::Config, ClusterError> {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        match *self {
            Self::File(file) => {
                let failed = |source| ClusterError::Kubeconfig { file: file.to_owned(), source };
                let kubeconfig = Kubeconfig::read_from(file).map_err(failed)?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)
            }
            Self::Account => kube::Config::incluster().map_err(ClusterError::Account),
            Self::User => kube::Config::from_kubeconfig(&options).await.map_err(ClusterError::NoCluster),
        }
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Account => f.write_str("the pod's service account"),
            Self::User => f.write_str("KUBECONFIG or ~/.kube/config"),
        }
    }
}

/// Makes the gateway's TLS provider the process default, for kube's clients.
pub fn install_tls_provider() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}

/// A client for the cluster of `kubeconfig` and `context`. Without both it is that of the pod's service account, or, where
/// there is none, that of the user's kubeconfig; a context alone is one in the user's kubeconfig.
///
/// # Errors
///
/// When no configuration is found or it cannot be used; the API server itself is not asked anything.
pub async fn client(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<kube::Client, ClusterError> {
    let origin = Origin::new(kubeconfig, context, Path::new(ACCOUNT_TOKEN).exists());
    let mut config = origin.config(context).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string();
    tracing::info!(%origin, server, "cluster chosen");
    kube::Client::try_from(config).map_err(|source| ClusterError::Unsupported { server, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_pod_comes_before_the_users_kubeconfig_and_after_what_is_named() {
        let file = Path::new("/etc/other");
        for (kubeconfig, context, has_account, expected) in [
            (None, None, true, Origin::Account),
            (None, None, false, Origin::User),
            (Some(file), None, true, Origin::File(file)),
            (Some(file), Some("west"), true, Origin::File(file)),
            (Some(file), None, false, Origin::File(file)),
            (None, Some("west"), true, Origin::User),
            (None, Some("west"), false, Origin::User),
        ] {
            assert_eq!(
                Origin::new(kubeconfig, context, has_account),
                expected,
                "{kubeconfig:?} {context:?} {has_account}"
            );
        }
    }
}
