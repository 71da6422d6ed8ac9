//! A real Kubernetes control plane in child processes: everything but kubelets, which KWOK plays.
//!
//! Role-based access control is on, every connection is TLS with certificates made for this control plane alone, and
//! all ports are on the loopback interface. Nothing of it outlives the process that started it.

mod binaries;
mod commands;
mod node;
mod paused;

use std::fs::{self, File};
use std::mem;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Mutex;

pub use self::binaries::ControlPlaneBinaries;
use self::commands::Files;
pub use self::paused::Paused;
use crate::ports::ReservedPort;
use crate::process::Process;
use crate::{kubeconfig, poll};

const READY_LIMIT: Duration = Duration::from_mins(2);
const TOKEN_LIFETIME_SECONDS: i64 = 24 * 60 * 60;
/// How often other ports are tried when somebody took the chosen ones first.
const START_ATTEMPTS: usize = 5;

/// A running control plane, or somebody else's cluster that stands in for one.
///
/// Dropping it kills all its processes at once; [`Self::stop`] ends them in order.
#[derive(Debug)]
pub struct ControlPlane {
    work: PathBuf,
    api_url: String,
    administrator: PathBuf,
    owned: Option<Owned>,
}

/// What is there only if the processes are ours.
#[derive(Debug)]
struct Owned {
    authority_pem: String,
    programs: ControlPlaneBinaries,
    api_server_arguments: Vec<String>,
    controllers_arguments: ControllersArguments,
    processes: Mutex<Processes>,
    /// Held for as long as the processes use the directory.
    _lock: File,
}

/// The programs that act on workloads, by name.
type ControllersArguments = [(&'static str, Vec<String>); 2];

/// In the order in which dropping ends them: clients before servers.
#[derive(Debug)]
struct Processes {
    controllers: Vec<Process>,
    kwok: Process,
    api_server: Option<Process>,
    etcd: Process,
}

/// The two servers and where they listen.
struct Servers {
    etcd: Process,
    api_server: Process,
    api_server_arguments: Vec<String>,
    api_url: String,
}

impl ControlPlane {
    /// Starts a control plane with empty data whose files (certificates, kubeconfigs, data, logs) lie in `work`, and
    /// waits until a Deployment's pods can become ready.
    ///
    /// An error if another control plane runs in `work`, or if a program ends or is not ready after two minutes; the
    /// error then carries the end of the program's log.
    pub async fn start(programs: ControlPlaneBinaries, work: &Path) -> Result<Self> {
        let lock = prepare(work)?;
        let work = work.canonicalize().context("resolve the working directory")?;
        let files = Files::write(&work)?;
        let servers = start_servers(&programs, &files, &work).await?;
        let controllers_arguments =
            [("kube-controller-manager", files.controller_manager()), ("kube-scheduler", files.scheduler())];
        let controllers = start_controllers(&programs, &controllers_arguments, &work).await?;
        let kwok = spawn(&programs, "kwok", &files.kwok(), &work).await?;
        let control_plane = Self {
            api_url: servers.api_url,
            administrator: files.kubeconfig("admin"),
            owned: Some(Owned {
                authority_pem: files.authority_pem(),
                programs,
                api_server_arguments: servers.api_server_arguments,
                controllers_arguments,
                processes: Mutex::new(Processes {
                    controllers,
                    kwok,
                    api_server: Some(servers.api_server),
                    etcd: servers.etcd,
                }),
                _lock: lock,
            }),
            work,
        };
        control_plane.open_node().await?;
        Ok(control_plane)
    }

    /// Stands for the cluster of an administrator's kubeconfig, of which no process is ours: what needs to stop or
    /// start one is an error. Files are written to `work`.
    pub async fn external(administrator: &Path, work: &Path) -> Result<Self> {
        fs::create_dir_all(work).with_context(|| format!("create {}", work.display()))?;
        let config = kubeconfig::config(administrator).await?;
        let api_url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok(Self { work: work.to_owned(), api_url, administrator: administrator.to_owned(), owned: None })
    }

    /// Whether the processes are ours, so that a test may stop and start them.
    pub fn is_owned(&self) -> bool {
        self.owned.is_some()
    }

    /// The kubeconfig of a user who may do everything.
    pub fn kubeconfig_admin(&self) -> &Path {
        &self.administrator
    }

    /// The API server's address, without a slash at its end.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The PEM certificate that the API server's own is verified with; an error for somebody else's cluster, whose
    /// kubeconfig tells.
    pub fn ca_pem(&self) -> Result<&str> {
        Ok(&self.owned()?.authority_pem)
    }

    /// Where this control plane keeps its files; the logs of its programs are in `logs`.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// A new client with the administrator's rights. It belongs to the tokio runtime that it is made in.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(&self.administrator).await
    }

    /// The kubeconfig of an existing `ServiceAccount`, with a token that is valid for a day.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFETIME_SECONDS), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("request a token for {namespace}/{name}"))?;
        let token = answer.status.and_then(|status| status.token).context("the answer holds no token")?;
        let path = self.work.join(format!("service-account-{namespace}-{name}.kubeconfig"));
        kubeconfig::write_with_token(&path, &self.administrator, &token)?;
        Ok(path)
    }

    /// The API server's own metrics, in Prometheus' text format.
    pub async fn api_server_metrics(&self) -> Result<String> {
        get(&self.client().await?, "/metrics").await.context("read the API server's metrics")
    }

    /// Stops the API server and waits for its end. Its data stays in etcd; the other processes wait for it to return.
    pub async fn stop_api_server(&self) -> Result<()> {
        let process = self.owned()?.processes.lock().await.api_server.take();
        process.context("the API server is stopped already")?.terminate().await?;
        Ok(())
    }

    /// Starts the API server again, on the same port and data, and waits until it is ready.
    ///
    /// The controllers and the scheduler are started again too: they asked before the roles were loaded, were refused,
    /// and would ask again only after up to a minute. KWOK has every right by its certificate, and its lease on the
    /// node would outlive it.
    pub async fn start_api_server(&self) -> Result<()> {
        let owned = self.owned()?;
        let mut processes = owned.processes.lock().await;
        ensure!(processes.api_server.is_none(), "the API server runs already");
        let process = spawn(&owned.programs, "kube-apiserver", &owned.api_server_arguments, &self.work).await?;
        wait_until_ready(&self.administrator, &[&processes.etcd, &process]).await?;
        processes.api_server = Some(process);
        for controller in mem::take(&mut processes.controllers) {
            controller.terminate().await?;
        }
        processes.controllers = start_controllers(&owned.programs, &owned.controllers_arguments, &self.work).await?;
        Ok(())
    }

    /// The name and process id of each running program.
    pub async fn processes(&self) -> Result<Vec<(String, u32)>> {
        let processes = self.owned()?.processes.lock().await;
        let all =
            processes.controllers.iter().chain([&processes.kwok]).chain(&processes.api_server).chain([&processes.etcd]);
        Ok(all.map(|process| (process.name().to_owned(), process.pid())).collect())
    }

    /// Ends all processes in order: clients first, etcd last. Somebody else's cluster is left alone.
    pub async fn stop(self) -> Result<()> {
        let Some(owned) = self.owned else { return Ok(()) };
        let processes = owned.processes.into_inner();
        for client in processes.controllers.into_iter().chain([processes.kwok]) {
            client.terminate().await?;
        }
        if let Some(api_server) = processes.api_server {
            api_server.terminate().await?;
        }
        processes.etcd.terminate().await?;
        Ok(())
    }

    fn owned(&self) -> Result<&Owned> {
        self.owned.as_ref().context("the cluster was named from outside: its processes cannot be stopped or started")
    }

    /// Waits for the node, or for one of the programs to end.
    async fn open_node(&self) -> Result<()> {
        let client = self.client().await?;
        if let Err(error) = node::create(&client).await {
            let processes = self.owned()?.processes.lock().await;
            processes.controllers.iter().chain([&processes.kwok]).try_for_each(Process::check)?;
            return Err(error);
        }
        Ok(())
    }
}

/// Removes what an earlier control plane left in `work`, once it is sure that none uses it.
fn prepare(work: &Path) -> Result<File> {
    fs::create_dir_all(work).with_context(|| format!("create {}", work.display()))?;
    let lock = File::create(work.join("lock")).context("open the lock of the working directory")?;
    if let Err(error) = lock.try_lock() {
        bail!("a control plane runs in {} already ({error})", work.display());
    }
    for leftover in ["etcd", "kubeconfig", "logs", "pki"] {
        remove(&work.join(leftover))?;
    }
    Ok(lock)
}

/// Moves it aside first: the programs of a harness that was killed a moment ago may still be writing there.
fn remove(leftover: &Path) -> Result<()> {
    let aside = leftover.with_extension("old");
    if leftover.exists() {
        let _ = fs::remove_dir_all(&aside);
        fs::rename(leftover, &aside).with_context(|| format!("move {} aside", leftover.display()))?;
        let _ = fs::remove_dir_all(&aside);
    }
    Ok(())
}

async fn spawn(programs: &ControlPlaneBinaries, name: &str, arguments: &[String], work: &Path) -> Result<Process> {
    // KWOK would read the configuration of its user's own clusters.
    let home = work.display().to_string();
    Process::spawn(name, &programs.program(name), arguments, &[("KWOK_WORKDIR", &home)], &work.join("logs")).await
}

/// Tries again with other ports if, and only if, somebody else took the chosen ones first.
async fn start_servers(programs: &ControlPlaneBinaries, files: &Files, work: &Path) -> Result<Servers> {
    for _ in 1..START_ATTEMPTS {
        match try_start_servers(programs, files, work).await {
            Err(error) if format!("{error:#}").contains("address already in use") => {}
            outcome => return outcome,
        }
    }
    try_start_servers(programs, files, work).await
}

async fn try_start_servers(programs: &ControlPlaneBinaries, files: &Files, work: &Path) -> Result<Servers> {
    let (etcd_port, api_port) = (ReservedPort::reserve()?, ReservedPort::reserve()?);
    let api_server_arguments = files.api_server(api_port.number(), etcd_port.number());
    let api_url = format!("https://127.0.0.1:{}", api_port.number());
    files.write_kubeconfigs(&api_url)?;
    let etcd = spawn(programs, "etcd", &files.etcd(etcd_port.release()), work).await?;
    api_port.release();
    let api_server = spawn(programs, "kube-apiserver", &api_server_arguments, work).await?;
    wait_until_ready(&files.kubeconfig("admin"), &[&etcd, &api_server]).await?;
    Ok(Servers { etcd, api_server, api_server_arguments, api_url })
}

async fn start_controllers(
    programs: &ControlPlaneBinaries,
    arguments: &ControllersArguments,
    work: &Path,
) -> Result<Vec<Process>> {
    let mut started = Vec::new();
    for (name, arguments) in arguments {
        started.push(spawn(programs, name, arguments, work).await?);
    }
    Ok(started)
}

async fn wait_until_ready(administrator: &Path, processes: &[&Process]) -> Result<()> {
    let client = kubeconfig::client(administrator).await?;
    poll::until("the API server to be ready", READY_LIMIT, async || {
        processes.iter().try_for_each(|process| process.check())?;
        Ok(match get(&client, "/readyz").await {
            Ok(_) => ControlFlow::Break(()),
            Err(error) => ControlFlow::Continue(error.to_string()),
        })
    })
    .await
}

async fn get(client: &Client, path: &str) -> Result<String> {
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(client.request_text(request).await?)
}
