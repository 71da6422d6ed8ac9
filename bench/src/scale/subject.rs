//! The gateway that is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use scalegate_tests::client::Client;
use scalegate_tests::gateway::{Gateway, GatewayOptions};
use scalegate_tests::stack;
use serde_json::json;
use tokio::time::sleep;

use super::fleet::Fleet;
use super::server::ApiServer;
use crate::machine::{self, Memory};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// How often the gateway's processor time is looked at to see whether it is idle, and how many looks in a row show that.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 3;
/// The most processor time that an idle gateway uses between two looks.
const IDLE: Duration = Duration::from_millis(10);

/// The files of a run.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) work: PathBuf,
    pub(crate) certs: PathBuf,
    pub(crate) policies: PathBuf,
}

/// How long the processor time of an idle gateway is measured. Its files are looked at many times a second.
const REST: Duration = Duration::from_secs(10);

/// Processor time since a moment, without what an idle gateway uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    used: Duration,
    began: Instant,
}

/// A gateway in a process of its own, on an API server of this one.
#[derive(Debug)]
pub(crate) struct Subject {
    /// How many Deployments have a target.
    pub(crate) size: u32,
    pub(crate) server: ApiServer,
    gateway: Gateway,
    /// What part of a processor it uses while it is idle.
    idle: f64,
}

impl Subject {
    /// Starts both, with lists that wait and the Lease held elsewhere; the gateway is idle then.
    pub(crate) async fn start(files: &Files, size: u32) -> Result<Self> {
        let server = ApiServer::start(Fleet::new(size)?).await?;
        let kubeconfig = files.work.join("kubeconfig");
        let text = kubeconfig_for(server.address);
        std::fs::write(&kubeconfig, text).with_context(|| format!("write {}", kubeconfig.display()))?;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = GatewayOptions {
            name: "gateway".into(),
            kubeconfig,
            namespaces: Vec::new(),
            certs: files.certs.clone(),
            policies: files.policies.clone(),
            namespace: stack::SYSTEM.into(),
            lease: stack::LEASE.into(),
            listen: any,
            admin: any,
            audit: "stdout".into(),
            redact: Vec::new(),
            stdout: None,
        };
        let gateway = Gateway::launch(&files.work, &options).await?;
        let mut subject = Self { size, server, gateway, idle: 0.0 };
        subject.until_idle().await?;
        let rest = subject.begin()?;
        sleep(REST).await;
        subject.idle = subject.since(&rest)?.div_duration_f64(rest.began.elapsed());
        Ok(subject)
    }

    /// A caller that may see everything.
    pub(crate) fn client(&self) -> Result<Client> {
        self.gateway.client("viewer")
    }

    /// Begins to measure processor time.
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

    /// A metric that is a whole number.
    pub(crate) async fn metric(&self, line: &str) -> Result<u64> {
        let (_, text) = self.gateway.admin("/metrics").await?;
        let found = text.lines().find_map(|candidate| candidate.strip_prefix(line)).unwrap_or_default().trim();
        found.parse().with_context(|| format!("the metric {line} is not a whole number: {found}"))
    }

    /// Waits until the gateway is ready.
    pub(crate) async fn until_ready(&self) -> Result<()> {
        self.until("ready", async || Ok(matches!(self.gateway.admin("/readyz").await, Ok((200, _))))).await
    }

    /// Waits until the gateway has been handed every change, and has nothing more to do.
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

    /// Looks again and again whether the gateway `is` as it should be.
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

    /// Ends the gateway; an error if it wrote anything, since everything was as it should be.
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
