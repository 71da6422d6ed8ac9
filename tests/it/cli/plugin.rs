//! The client as a plugin of kubectl, as it is, and installed by krew from an archive of a release.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use scalegate_tests::paths::{binary, built, repository};
use scalegate_tests::suite::{self, Shared};
use serde_json::Value;
use tokio::process::Command;

use super::{Printed, client, client_at, done, printed, tiers};

#[tokio::test]
async fn the_program_is_a_plugin_of_kubectl_under_its_other_name() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let directory = tempfile::tempdir()?;
    let plugin = directory.path().join("kubectl-scalegate");
    std::os::unix::fs::symlink(binary("scalegate")?, &plugin)?;
    let asked =
        async |arguments: &[&str]| printed(client_at(&plugin, &suite, "viewer").args(arguments).output().await?);
    let shown = asked(&["get", "web", "-n", &namespace]).await?;
    assert!(shown.code == Some(0) && shown.out.contains("web"), "{shown:?}");
    assert!(asked(&["--help"]).await?.out.contains("Usage: kubectl scalegate <COMMAND>"));
    let wrong = asked(&["get"]).await?;
    assert!(wrong.code == Some(2) && wrong.err.contains("Usage: kubectl scalegate get "), "{wrong:?}");
    Ok(())
}

async fn manifest(archive: &Path) -> Result<Printed> {
    printed(Command::new(repository().join("deploy/krew/manifest.sh")).arg(archive).output().await?)
}

#[tokio::test]
async fn a_manifest_for_krew_describes_a_local_archive() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let archive = directory.path().join("scalegate-0.1.0-x86_64-unknown-linux-gnu.tar.gz");
    std::fs::write(&archive, "not packed")?;
    let shown = manifest(&archive).await?;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let manifest_of_it: Value = serde_saphyr::from_str(&shown.out)?;
    let platform = &manifest_of_it["spec"]["platforms"][0];
    assert_eq!((&manifest_of_it["spec"]["version"], &platform["bin"]), (&"v0.1.0".into(), &"scalegate".into()));
    assert_eq!(platform["selector"]["matchLabels"]["arch"], "amd64");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"not packed");
    assert_eq!(platform["sha256"], scalegate::hex::encode(digest.as_ref()));
    assert_eq!(manifest(&directory.path().join("other.tar.gz")).await?.code, Some(2));
    let odd = directory.path().join("a&b|c");
    std::fs::create_dir(&odd)?;
    let archive = odd.join("scalegate-0.1.0-x86_64-unknown-linux-gnu.tar.gz");
    std::fs::write(&archive, "not packed")?;
    let manifest_of_it: Value = serde_saphyr::from_str(&manifest(&archive).await?.out)?;
    assert_eq!(manifest_of_it["spec"]["platforms"][0]["uri"], format!("file://{}", archive.display()));
    Ok(())
}

/// A home with krew and kubectl.
struct Krew {
    home: tempfile::TempDir,
    programs: PathBuf,
}

impl Krew {
    /// An archive as `make binaries` makes it, of the programs under test, without what only a debugger reads.
    async fn archive(&self) -> Result<PathBuf> {
        let programs = self.home.path().join("programs");
        std::fs::create_dir(&programs)?;
        for name in ["scalegate", "certs"] {
            let mut strip = Command::new("strip");
            let stripped = strip.arg("-o").arg(programs.join(name)).arg(binary(name)?).status().await;
            ensure!(stripped.context("strip comes with a C compiler")?.success(), "strip failed");
        }
        let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" };
        let name = format!("scalegate-{}-{}-{system}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        let mut pack = Command::new(repository().join("deploy/release/pack.sh"));
        let packed = pack.arg(name).arg(programs).arg(self.home.path().join("files")).env("SOURCE_DATE_EPOCH", "0");
        let Printed { code, out, err } = printed(packed.output().await?)?;
        ensure!(code == Some(0), "{err}");
        Ok(out.trim().into())
    }

    /// Runs krew; nothing of it may need the network.
    async fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut krew = Command::new(self.programs.join("krew"));
        krew.args(arguments).env_clear().env("HOME", self.home.path()).env("PATH", self.path()?).stdin(Stdio::null());
        krew.env("KREW_NO_UPGRADE_CHECK", "1").env("HTTPS_PROXY", "http://127.0.0.1:1");
        let Printed { code, out, err } = printed(krew.output().await?)?;
        ensure!(code == Some(0), "krew {}: {out}{err}", arguments.join(" "));
        Ok(())
    }

    /// kubectl, as somebody who has krew's plugins in the `PATH`.
    async fn kubectl(&self, suite: &Shared, arguments: &[&str]) -> Result<Printed> {
        let as_viewer = client(suite, "viewer")?;
        let variables = as_viewer.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut kubectl = Command::new(self.programs.join("kubectl"));
        kubectl.args(arguments).env_clear().envs(variables).env("HOME", self.home.path()).env("PATH", self.path()?);
        printed(kubectl.stdin(Stdio::null()).output().await?)
    }

    fn path(&self) -> Result<String> {
        let path = std::env::var("PATH").context("there is no PATH")?;
        Ok(format!("{}:{path}", self.home.path().join(".krew/bin").display()))
    }
}

#[tokio::test]
async fn krew_installs_the_plugin_and_kubectl_runs_it() -> Result<()> {
    let Some(programs) = built("tests/plugin/build.sh").await? else {
        println!("skipped: there is no Go to build krew with");
        return Ok(());
    };
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let krew = Krew { home: tempfile::tempdir()?, programs };
    let before = krew.kubectl(&suite, &["scalegate", "version"]).await?;
    assert!(before.code == Some(1) && before.err.contains("unknown command \"scalegate\""), "{before:?}");

    let archive = krew.archive().await?;
    let file = krew.home.path().join("scalegate.yaml");
    let described = manifest(&archive).await?;
    ensure!(described.code == Some(0), "{}", described.err);
    std::fs::write(&file, described.out)?;
    let [file, archive] = [file, archive].map(|path| path.display().to_string());
    krew.run(&["install", &format!("--manifest={file}"), &format!("--archive={archive}")]).await?;

    let version = krew.kubectl(&suite, &["scalegate", "version"]).await?;
    assert_eq!(version.out, done(&suite, "viewer", &["version"]).await?, "{version:?}");
    let shown = krew.kubectl(&suite, &["scalegate", "get", "web", "-n", &namespace]).await?;
    assert_eq!(shown.out, done(&suite, "viewer", &["get", "web", "-n", &namespace]).await?, "{shown:?}");
    let wrong = krew.kubectl(&suite, &["scalegate", "get"]).await?;
    assert!(wrong.code == Some(2) && wrong.err.contains("Usage: kubectl scalegate get "), "{wrong:?}");

    let bin = krew.home.path().join(".krew/bin");
    std::os::unix::fs::symlink("kubectl-scalegate", bin.join("kubectl_complete-scalegate"))?;
    let completed = krew.kubectl(&suite, &["__complete", "scalegate", "get", "-n", &namespace, "we"]).await?;
    assert_eq!((completed.code, completed.out.as_str()), (Some(0), "web\n:4\n"), "{}", completed.err);
    let completed = krew.kubectl(&suite, &["__complete", "scalegate", "whoa"]).await?;
    assert!(completed.out.starts_with("whoami\tShow whom your certificate names"), "{completed:?}");
    Ok(())
}
