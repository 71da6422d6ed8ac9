//! Where the programs of the control plane come from.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::paths;

/// A directory that holds `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler` and `kwok`.
#[derive(Debug, Clone)]
pub struct ControlPlaneBinaries {
    directory: PathBuf,
}

impl ControlPlaneBinaries {
    /// What `tests/controlplane/build.sh` provides: the directory in `SCALEGATE_CONTROLPLANE`, or what the machine's
    /// cache holds, which the first call fills in about ten minutes. Its progress goes to standard error.
    pub async fn provide() -> Result<Self> {
        let script = paths::repository().join("tests/controlplane/build.sh");
        let mut build = Command::new(&script);
        build.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = build.output().await.with_context(|| format!("run {}", script.display()))?;
        ensure!(output.status.success(), "{} failed ({})", script.display(), output.status);
        let stdout = String::from_utf8(output.stdout).context("the build printed no text")?;
        let directory = stdout.lines().last().context("the build printed no directory")?;
        Ok(Self { directory: directory.into() })
    }

    /// The path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The directory that holds them.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
