//! OPA, built by `policies/build.sh`: as a server, and its own measure of a decision.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use scalegate_tests::paths::repository;
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::process::Process;
use serde_json::Value;

/// A running OPA with the development policy and its settings. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct OpaServer {
    process: Process,
    /// Where it serves, without TLS.
    pub(crate) address: SocketAddr,
}

/// The program that `policies/build.sh` builds.
pub(crate) fn program() -> Result<PathBuf> {
    let output = Command::new(repository().join("policies/build.sh")).arg("--opa").output()?;
    ensure!(output.status.success(), "policies/build.sh --opa failed");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// `OPA 1.2.3`.
pub(crate) fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("Version: ")).context("opa tells no version")?;
    Ok(format!("OPA {version}"))
}

impl OpaServer {
    /// Starts `program` with the development policy's sources and the examples' settings; its files lie in `work`.
    pub(crate) async fn start(program: &Path, work: &Path) -> Result<Self> {
        std::fs::create_dir_all(work)?;
        let port = ReservedPort::reserve()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let mut arguments: Vec<_> =
            ["run", "--server", "--disable-telemetry", "--log-level", "error", "--addr"].map(str::to_owned).into();
        arguments.push(address.to_string());
        arguments.extend(sources()?.iter().map(|path| path.display().to_string()));
        port.release();
        let process = Process::spawn("opa", program, &arguments, &[], work).await?;
        process.wait_for_port(address).await?;
        Ok(Self { process, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it and waits for the end.
    pub(crate) async fn stop(self) -> Result<()> {
        self.process.terminate().await?;
        Ok(())
    }
}

/// The development policy and its settings.
fn sources() -> Result<Vec<PathBuf>> {
    let rego = repository().join("policies/rego");
    let mut sources = vec![rego.join("examples/settings.json")];
    for entry in rego.read_dir()? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".rego") && !name.ends_with("_test.rego") {
            sources.push(path);
        }
    }
    Ok(sources)
}

/// The question that servers of decisions are asked, one of the policy's examples.
pub(crate) fn question() -> Result<String> {
    let path = repository().join("policies/rego/examples/viewer-gets.input.json");
    let input: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    Ok(serde_json::json!({ "input": input }).to_string())
}
