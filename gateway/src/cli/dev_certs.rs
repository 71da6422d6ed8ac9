//! `scalegate dev-certs`: the development set of certificates in two Secrets of a cluster, where a job refreshes it.
//!
//! `PREFIX-tls` is what a gateway mounts: `tls.crt`, `tls.key`, `ca.crt` and `crl.pem`. `PREFIX-clients` has
//! the rest, the authority's key among it: whoever reads it can be any client.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use scalegate_certs::development::{DevelopmentError, Entry, Options, State, refresh};
use scalegate_certs::files::{self, FileError, Secrecy};
use thiserror::Error;

use super::output;
use crate::identity::{InvalidTrustDomain, TrustDomain};
use crate::kubernetes::{self, ClusterError};

/// What a gateway mounts: the key in the Secret and the file of the set.
const SERVER: [(&str, &str); 4] =
    [("tls.crt", "server.pem"), ("tls.key", "server-key.pem"), ("ca.crt", "ca.pem"), ("crl.pem", "crl.pem")];
/// What is no client's: likewise. All else lies in the directory `clients`, where another `other-ca.pem` is.
const AUTHORITIES: [(&str, &str); 5] = [
    ("ca.pem", "ca.pem"),
    ("ca-key.pem", "ca-key.pem"),
    ("other-authority.pem", "other-ca.pem"),
    ("other-authority-key.pem", "other-ca-key.pem"),
    ("crl.pem", "crl.pem"),
];

/// Why the Secrets could not be refreshed.
#[derive(Debug, Error)]
pub(super) enum SecretsError {
    /// The set could not be made.
    #[error(transparent)]
    Development(#[from] DevelopmentError),
    /// A file of the set could not be read or written on the way.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no way to a cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The API server refused.
    #[error("cannot read or write Secret {name}")]
    Secret {
        /// The Secret's name.
        name: String,
        /// What it answered.
        #[source]
        source: kube::Error,
    },
}

/// Which set, and where it is kept.
#[derive(Debug, clap::Args)]
pub(super) struct DevCertsArgs {
    /// The namespace of the Secrets
    #[arg(long, value_name = "NAME", value_parser = super::client::namespace)]
    namespace: String,
    /// What their names begin with: PREFIX-tls and PREFIX-clients
    #[arg(long, value_name = "PREFIX", value_parser = super::client::object_name)]
    secrets: String,
    /// The trust domain of the clients' SPIFFE ids
    #[arg(long, value_name = "NAME", default_value = "scalegate.test", value_parser = trust_domain)]
    trust_domain: String,
    /// The kubeconfig; without it the pod's own account, else KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// One more DNS name or IP address of the server; may be repeated
    #[arg(long = "server-san", value_name = "NAME")]
    server_sans: Vec<String>,
}

/// Refreshes the set, or makes it, and tells what became of each file.
pub(super) fn dev_certs(args: &DevCertsArgs) -> Result<()> {
    kubernetes::install_tls_provider();
    let directory = tempfile::tempdir().context("no directory for the files meanwhile")?;
    let mut options = Options::new(directory.path());
    options.trust_domain.clone_from(&args.trust_domain);
    options.server_sans.clone_from(&args.server_sans);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entries = runtime.block_on(async {
        let client = kubernetes::client(args.kubeconfig.as_deref(), args.context.as_deref()).await?;
        refresh_secrets(&options, client, &args.namespace, &args.secrets).await
    })?;
    let mut out = String::new();
    for Entry { file, state, until, note } in &entries {
        writeln!(out, "{file:<23} {state:<22} {:<11} {note}", until.date())?;
    }
    let made = entries.iter().filter(|entry| entry.state != State::Kept).count();
    writeln!(out, "{made} made, {} kept, in Secrets {1}-tls and {1}-clients", entries.len() - made, args.secrets)?;
    Ok(output::print(&out)?)
}

fn trust_domain(text: &str) -> Result<String, InvalidTrustDomain> {
    text.parse::<TrustDomain>().map(|_| text.to_owned())
}

async fn refresh_secrets(
    options: &Options,
    client: Client,
    namespace: &str,
    prefix: &str,
) -> Result<Vec<Entry>, SecretsError> {
    let api = Api::namespaced(client, namespace);
    let (server, clients) = (format!("{prefix}-tls"), format!("{prefix}-clients"));
    let old = Old { server: get(&api, &server).await?, clients: get(&api, &clients).await? };
    old.unpack(&options.out)?;
    let entries = refresh(options)?;
    // The authority first: a server's certificate without the key that signed it could never be renewed.
    put(&api, old.clients, &clients, "Opaque", pack_clients(&options.out, &entries)?).await?;
    put(&api, old.server, &server, "kubernetes.io/tls", pack_server(&options.out)?).await?;
    Ok(entries)
}

struct Old {
    server: Option<Secret>,
    clients: Option<Secret>,
}

impl Old {
    fn unpack(&self, out: &Path) -> Result<(), FileError> {
        for (key, content) in data(self.clients.as_ref()) {
            write(out, &file_of(key), content)?;
        }
        let server = data(self.server.as_ref()).collect::<BTreeMap<_, _>>();
        for (key, file) in SERVER.iter().filter(|(key, _)| key.starts_with("tls.")) {
            if let Some(content) = server.get(&(*key).to_owned()) {
                write(out, file, content)?;
            }
        }
        Ok(())
    }
}

fn data(secret: Option<&Secret>) -> impl Iterator<Item = (&String, &ByteString)> {
    secret.and_then(|secret| secret.data.as_ref()).into_iter().flatten()
}

fn write(out: &Path, file: &str, content: &ByteString) -> Result<(), FileError> {
    files::write(&out.join(file), &String::from_utf8_lossy(&content.0), Secrecy::Private)
}

fn file_of(key: &str) -> String {
    let authority = AUTHORITIES.iter().find(|(name, _)| *name == key);
    authority.map_or_else(|| format!("clients/{key}"), |(_, file)| (*file).to_owned())
}

/// A Secret's key has no slash.
fn key_of(file: &str) -> &str {
    let authority = AUTHORITIES.iter().find(|(_, name)| *name == file);
    authority.map_or_else(|| file.trim_start_matches("clients/"), |(key, _)| key)
}

fn pack_server(out: &Path) -> Result<BTreeMap<String, ByteString>, FileError> {
    SERVER.iter().map(|(key, file)| Ok(((*key).to_owned(), content(out, file)?))).collect()
}

fn pack_clients(out: &Path, entries: &[Entry]) -> Result<BTreeMap<String, ByteString>, FileError> {
    let mut data = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.file != "server.pem") {
        for file in [entry.file.clone(), entry.file.replace(".pem", "-key.pem")] {
            // A revocation list has no key.
            if out.join(&file).is_file() {
                data.insert(key_of(&file).to_owned(), content(out, &file)?);
            }
        }
    }
    Ok(data)
}

fn content(out: &Path, file: &str) -> Result<ByteString, FileError> {
    Ok(ByteString(files::read(&out.join(file))?.unwrap_or_default().into_bytes()))
}

async fn get(api: &Api<Secret>, name: &str) -> Result<Option<Secret>, SecretsError> {
    api.get_opt(name).await.map_err(|source| SecretsError::Secret { name: name.to_owned(), source })
}

/// Replaces what was read, or creates: whoever wrote in between makes this run fail, and the next one sees it.
async fn put(
    api: &Api<Secret>,
    old: Option<Secret>,
    name: &str,
    type_: &str,
    data: BTreeMap<String, ByteString>,
) -> Result<(), SecretsError> {
    let failed = |source| SecretsError::Secret { name: name.to_owned(), source };
    match old {
        Some(old) if old.data.as_ref() == Some(&data) => {}
        Some(old) => {
            let new = Secret { data: Some(data), ..old };
            api.replace(name, &PostParams::default(), &new).await.map_err(failed)?;
        }
        None => {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let new = Secret { metadata, type_: Some(type_.to_owned()), data: Some(data), ..Secret::default() };
            api.create(&PostParams::default(), &new).await.map_err(failed)?;
        }
    }
    Ok(())
}
