//! Kubeconfig files, and clients made from them.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::pki::{KeyedCertificate, write_private};

/// Writes a kubeconfig for a user with a client certificate.
pub fn write(path: &Path, api_url: &str, authority: &Path, user: &KeyedCertificate) -> Result<()> {
    let cluster = json!({ "server": api_url, "certificate-authority": authority });
    let user = json!({ "client-certificate": user.certificate, "client-key": user.key });
    // JSON is YAML, and needs no quoting rules of its own.
    write_private(path, &format!("{:#}\n", document(&cluster, &user)))
}

/// Writes a kubeconfig for the cluster of `administrator`, with `token` in place of the user.
pub fn write_with_token(path: &Path, administrator: &Path, token: &str) -> Result<()> {
    let kubeconfig = Kubeconfig::read_from(administrator)?;
    let context = kubeconfig.contexts.iter().find(|context| Some(&context.name) == kubeconfig.current_context.as_ref());
    let name = context.and_then(|context| context.context.as_ref()).map(|context| &context.cluster);
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|cluster| Some(&cluster.name) == name)
        .and_then(|cluster| cluster.cluster.as_ref())
        .with_context(|| format!("{} names no cluster in its current context", administrator.display()))?;
    let cluster = serde_json::to_value(cluster).context("copy the cluster")?;
    write_private(path, &format!("{:#}\n", document(&cluster, &json!({ "token": token }))))
}

/// Writes a copy of `kubeconfig` whose clusters are all reached at `server`.
pub fn write_with_server(path: &Path, kubeconfig: &Path, server: &str) -> Result<()> {
    let mut copy = Kubeconfig::read_from(kubeconfig)?;
    for cluster in copy.clusters.iter_mut().filter_map(|cluster| cluster.cluster.as_mut()) {
        cluster.server = Some(server.to_owned());
    }
    write_private(path, &serde_json::to_string_pretty(&copy).context("write the kubeconfig")?)
}

/// A client for the current context of a kubeconfig.
///
/// It belongs to the tokio runtime that it is made in: a test makes its own and hands none to another test.
pub async fn client(path: &Path) -> Result<Client> {
    Ok(Client::try_from(config(path).await?)?)
}

/// The configuration of such a client.
pub async fn config(path: &Path) -> Result<Config> {
    // Whoever installs a provider first decides; it is the same one everywhere here.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("read {}", path.display()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    if config.cluster_url.host().is_some_and(|host| host == "127.0.0.1" || host == "localhost") {
        // The environment's proxy would be asked for this machine's own loopback address.
        config.proxy_url = None;
    }
    Ok(config)
}

fn document(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "scalegate", "cluster": cluster }],
        "users": [{ "name": "scalegate", "user": user }],
        "contexts": [{ "name": "scalegate", "context": { "cluster": "scalegate", "user": "scalegate" } }],
        "current-context": "scalegate",
    })
}
