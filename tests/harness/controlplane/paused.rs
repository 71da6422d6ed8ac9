//! A server of the control plane that is there and does not answer.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::ControlPlane;

/// A server is stopped for as long as this lives: it keeps its connections open but reads nothing.
#[derive(Debug)]
pub struct Paused(Pid);

impl Paused {
    /// Stops the API server of `plane`.
    pub async fn api_server(plane: &ControlPlane) -> Result<Self> {
        Self::program(plane, "kube-apiserver").await
    }

    /// Stops the etcd of `plane`.
    pub async fn etcd(plane: &ControlPlane) -> Result<Self> {
        Self::program(plane, "etcd").await
    }

    /// Stops the controllers of `plane`: nothing answers a change of a workload.
    pub async fn controllers(plane: &ControlPlane) -> Result<Self> {
        Self::program(plane, "kube-controller-manager").await
    }

    async fn program(plane: &ControlPlane, program: &str) -> Result<Self> {
        let processes = plane.processes().await?;
        let found = processes.into_iter().find(|(name, _)| name == program);
        let (_, pid) = found.with_context(|| format!("no {program}"))?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("no process")?;
        kill_process(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // Only a process that has ended since cannot be told.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
