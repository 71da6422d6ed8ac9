//! Completion in shells, and the client as a plugin of kubectl.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use scalegate_tests::paths::{binary, repository};
use scalegate_tests::suite;
use serde_json::Value;
use tokio::process::Command;

use super::{client, client_at, done, printed, tiers};

/// What bash would offer for these words, of which the last one is being typed.
const ASK: &str = "source <(scalegate completion bash); COMP_WORDS=(scalegate \"$@\"); COMP_CWORD=$#; \
                   _scalegate_names scalegate \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                   printf '%s\\n' \"${COMPREPLY[@]}\"";

#[tokio::test]
async fn bash_completes_commands_options_and_names() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let programs = binary("scalegate")?.parent().context("a directory")?.display().to_string();
    let offered = async |words: &[&str]| -> Result<Vec<String>> {
        let ready = client(&suite, "viewer")?;
        let mut bash = Command::new("bash");
        let variables = ready.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
        bash.args(["-c", ASK, "bash"]).args(words).envs(variables).stdin(Stdio::null());
        bash.env("PATH", format!("{programs}:{}", std::env::var("PATH")?));
        let shown = printed(bash.output().await?)?;
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{words:?}");
        Ok(shown.out.lines().map(str::to_owned).collect())
    };
    assert_eq!(offered(&["whoa"]).await?, ["whoami"]);
    assert_eq!(offered(&["get", "--out"]).await?, ["--output"]);
    assert_eq!(offered(&["get", &format!("{namespace}/w")]).await?, [format!("{namespace}/web")]);
    assert_eq!(offered(&["set", "-n", &namespace, "-A", "we"]).await?, [""], "after an option, options");
    assert_eq!(offered(&["release", "-n", &namespace, "job", "we"]).await?, ["web"]);
    for shell in ["zsh", "fish"] {
        assert!(done(&suite, "viewer", &["completion", shell]).await?.contains("whoami"), "{shell}");
    }
    Ok(())
}

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

#[tokio::test]
async fn a_manifest_for_krew_describes_a_local_archive() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let archive = directory.path().join("scalegate-0.1.0-x86_64-unknown-linux-gnu.tar.gz");
    std::fs::write(&archive, "not packed")?;
    let made = async |archive: &Path| {
        printed(Command::new(repository().join("deploy/krew/manifest.sh")).arg(archive).output().await?)
    };
    let shown = made(&archive).await?;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let manifest: Value = serde_saphyr::from_str(&shown.out)?;
    let platform = &manifest["spec"]["platforms"][0];
    assert_eq!((&manifest["spec"]["version"], &platform["bin"]), (&"v0.1.0".into(), &"scalegate".into()));
    assert_eq!(platform["selector"]["matchLabels"]["arch"], "amd64");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"not packed");
    assert_eq!(platform["sha256"], scalegate::hex::encode(digest.as_ref()));
    assert_eq!(made(&directory.path().join("other.tar.gz")).await?.code, Some(2));
    Ok(())
}
