//! Where things are: the repository, cargo's target directory, and the binaries that are built beside this one.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

/// The root of the repository that this harness was built from.
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// A binary of this workspace.
///
/// It is the file that `SCALEGATE_<NAME>` names (`SCALEGATE_GUARD` for `guard`), or else the one that cargo put beside
/// the running program. A test's own program lies one directory deeper, in `deps`.
pub fn binary(name: &str) -> Result<PathBuf> {
    let variable = format!("SCALEGATE_{}", name.to_uppercase().replace('-', "_"));
    if let Some(path) = std::env::var_os(&variable) {
        return Ok(path.into());
    }
    let directory = profile_directory()?;
    let path = directory.join(name);
    if path.is_file() {
        return Ok(path);
    }
    bail!("{} is not there; run `cargo build --workspace`, or name the binary in {variable}", path.display())
}

/// What a script of the repository has built, as it prints it; `None`, after the script has said why, where this machine
/// cannot.
pub async fn built(script: &str) -> Result<Option<PathBuf>> {
    let output = Command::new(repository().join(script)).stderr(Stdio::inherit()).output().await?;
    ensure!(output.status.success(), "{script} failed");
    let path = String::from_utf8(output.stdout)?;
    Ok(Some(path.trim()).filter(|path| !path.is_empty()).map(PathBuf::from))
}

/// The directory for what a run leaves behind: `target/NAME`, in the target directory of the running program.
pub fn scratch(name: &str) -> Result<PathBuf> {
    let profile = profile_directory()?;
    let target = profile.parent().context("the running program lies in no target directory")?;
    Ok(target.join(name))
}

/// `target/debug` or `target/release`.
fn profile_directory() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find the running program")?;
    let directory = program.parent().context("the running program lies in no directory")?;
    let is_deps = directory.file_name().is_some_and(|name| name == "deps");
    let directory = if is_deps { directory.parent().unwrap_or(directory) } else { directory };
    Ok(directory.to_owned())
}
