//! The gateway that is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use scalegate_tests::client::Client;
use scalegate_tests::gateway::{Gateway, GatewayOptions};
use serde_json::json;
use tokio::time::sleep;

use super::fleet::Fleet;
use super::server::ApiServer;
use crate::machine::{self, Memory};

/// How long to wait for anything.
const PATIENCE: Duration = Duration::from_mins(10);
/// How often the gateway's processor time is read to see whether it is idle, and how many idle intervals show that.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 3;
/// The most processor time that an idle gateway uses in such an interval.
const IDLE: Duration = Duration::from_millis(10);

/// `listen.maxRequests`: a client gets a quarter of what is free, and at 100,000 Deployments a thousand requests wait.
const MAX_REQUESTS: u32 = 20_000;

/// The files of a run.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) work: PathBuf,
    pub(crate) certs: PathBuf,
    pub(crate) policies: PathBuf,
}

/// How long the idle gateway's processor time is measured: it checks its files for changes several times a second.
const REST: Duration = Duration::from_secs(10);

/// The start of a measurement of processor time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    used: Duration,
    began: Instant,
}

/// A gateway in a separate process, on an API server in this process.
#[derive(Debug)]
pub(crate) struct Subject {
    /// How many Deployments have a target.
    pub(crate) size: u32,
    pub(crate) server: ApiServer,
    gateway: Gateway,
    /// The share of a processor that it uses while idle.
    idle: f64,
}

impl Subject {
    /// Starts both, and waits until the gateway is idle: lists are not answered yet, and another candidate has the
    /// Lease.
    pub(crate) async fn start(files: &Files, size: u32) -> Result<Self> {
        let server = ApiServer::start(Fleet::new(size)?).await?;
        let kubeconfig = files.work.join("kubeconfig");
        let text = kubeconfig_for(server.address);
        std::fs::write(&kubeconfig, text).with_context(|| format!("write {}", kubeconfig.display()))?;
        let options = GatewayOptions {
            max_requests: Some(MAX_REQUESTS),
            ..GatewayOptions::new("gateway", kubeconfig, files.certs.clone(), files.policies.clone())
        };
        let gateway = Gateway::launch(&files.work, &options).await?;
        let mut subject = Self { size, server, gateway, idle: 0.0 };
        subject.until_idle().await?;
        let rest = subject.begin()?;
        sleep(REST).await;
        subject.idle = subject.since(&rest)?.div_duration_f64(rest.began.elapsed());
        Ok(subject)
    }

    /// A client; `viewer` and `operator` may see everything.
    pub(crate) fn client(&self, name: &str) -> Result<Client> {
        self.gateway.client(name)
    }

    /// Starts a measurement of processor time.
    pub(crate) fn begin(&self) -> Result<Stopwatch> {
        Ok(Stopwatch { used: self.used()?, began: Instant::now() })
    }

    /// The gateway's processor time since `begun`, without what it would have used if it had been idle.
    pub(crate) fn since(&self, begun: &Stopwatch) -> Result<Duration> {
        let used = self.used()?.saturating_sub(begun.used);
        Ok(used.saturating_sub(begun.began.elapsed().mul_f64(self.idle)))
    }

    fn used(&self) -> Result<Duration> {
        machine::processor_time(&[self.gateway.pid()])
    }

    /// The gateway's memory.
    pub(crate) fn memory(&self) -> Result<Memory> {
        machine::memory(self.gateway.pid())
    }

    /// The value of the metric whose line starts with `line`; it must be a whole number.
    pub(crate) async fn metric(&self, line: &str) -> Result<u64> {
        let (_, text) = self.gateway.admin("/metrics").await?;
        let found = text.lines().find_map(|candidate| candidate.strip_prefix(line)).unwrap_or_default().trim();
        found.parse().with_context(|| format!("the metric {line} is not a whole number: {found}"))
    }

    /// Waits until the gateway is ready.
    pub(crate) async fn until_ready(&self) -> Result<()> {
        self.until("ready", async || Ok(matches!(self.gateway.admin("/readyz").await, Ok((200, _))))).await
    }

    /// Waits until the gateway has been handed every change and is idle.
    pub(crate) async fn until_settled(&self) -> Result<()> {
        self.until("told of every change", async || Ok(self.server.is_followed())).await?;
        self.until_idle().await
    }

    /// Waits until the gateway is idle.
    pub(crate) async fn until_idle(&self) -> Result<()> {
        let (mut last, mut looks) = (self.used()?, 0);
        self.until("idle", async || {
            let now = self.used()?;
            looks = if now.saturating_sub(last) <= IDLE { looks + 1 } else { 0 };
            last = now;
            Ok(looks > LOOKS)
        })
        .await
    }

    /// Polls `is` until it returns true; `what` describes that state of the gateway.
    pub(crate) async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !is().await? {
            ensure!(self.gateway.is_running(), "the gateway ended; its log is {}", self.gateway.log_path().display());
            if began.elapsed() > PATIENCE {
                bail!("the gateway is not {what} after {PATIENCE:?}");
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Stops the gateway. Fails if it tried to write anything: every Deployment had its target's count throughout.
    pub(crate) async fn stop(self) -> Result<()> {
        ensure!(self.server.writes() == 0, "the gateway made {} writes", self.server.writes());
        self.gateway.kill().await
    }
}

fn kubeconfig_for(address: SocketAddr) -> String {
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "fleet", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "gateway", "user": {} }],
        "contexts": [{ "name": "fleet", "context": { "cluster": "fleet", "user": "gateway" } }],
        "current-context": "fleet",
    });
    text.to_string()
}
