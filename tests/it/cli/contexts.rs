//! Contexts, without variables that name a gateway.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use scalegate_tests::paths::{binary, repository};
use scalegate_tests::sandbox::write_contexts;
use scalegate_tests::suite::{self, Shared};
use tokio::process::Command;

use super::{Printed, printed, tiers};

/// A home without contexts.
struct Home(tempfile::TempDir);

impl Home {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary("scalegate")?);
        command.args(arguments).env_clear().env("HOME", self.0.path()).current_dir(self.0.path());
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> Result<Printed> {
        printed(self.command(arguments)?.output().await.context("cannot start scalegate")?)
    }

    async fn done(&self, arguments: &[&str]) -> Result<String> {
        let Printed { code, out, err } = self.run(arguments).await?;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
        Ok(out)
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(".config/scalegate/config.yaml")
    }
}

async fn save(home: &Home, suite: &Shared, name: &str, who: &str, namespace: &str) -> Result<String> {
    let file = |name: &str| suite.certs().join(name).display().to_string();
    let server = format!("https://localhost:{}", suite.address().port());
    let (ca, cert, key) =
        (file("ca.pem"), file(&format!("clients/{who}.pem")), file(&format!("clients/{who}-key.pem")));
    let flags = ["--server", &server, "--ca", &ca, "--cert", &cert, "--key", &key, "--namespace", namespace];
    home.done(&[&["config", "set-context", name][..], &flags].concat()).await
}

#[tokio::test]
async fn a_saved_context_says_whom_to_ask_and_as_whom() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let home = Home(tempfile::tempdir()?);
    let none = home.run(&["list"]).await?;
    assert_eq!(none.code, Some(2));
    insta::assert_snapshot!("no_gateway", none.err);

    assert_eq!(
        save(&home, &suite, "dev", "operator", &namespace).await?,
        "context dev is saved, and the current one\n"
    );
    assert_eq!(save(&home, &suite, "look", "viewer", &namespace).await?, "context look is saved\n");
    assert_eq!(std::fs::metadata(home.file())?.permissions().mode() & 0o777, 0o600);
    assert_eq!(home.done(&["list", "-o", "name"]).await?.lines().count(), 3, "of the context's namespace");
    assert!(home.done(&["set", "web", "4"]).await?.contains("accepted"));
    assert_eq!(home.run(&["set", "web", "5", "--context", "look"]).await?.code, Some(3), "as the viewer");

    assert_eq!(home.done(&["config", "use-context", "look"]).await?, "the current context is look\n");
    assert_eq!(home.done(&["config", "current-context"]).await?, "look\n");
    let overridden = home.command(&["config", "use-context", "look"])?.env("SCALEGATE_CERT", "me.pem").output().await?;
    let told = "the current context is look; the environment comes before it: unset SCALEGATE_CERT, or use --context";
    assert_eq!(printed(overridden)?.out.trim_end(), told);
    assert!(home.done(&["whoami"]).await?.contains("scalegate.test/viewer"));
    let listed = home.done(&["config", "get-contexts"]).await?;
    assert_eq!(listed.lines().map(|line| line.starts_with('*')).collect::<Vec<_>>(), [false, false, true], "{listed}");
    assert!(home.done(&["config", "delete-context", "look"]).await?.contains("no context is the current one"));
    let unchosen = home.run(&["list"]).await?;
    assert!(unchosen.code == Some(2) && unchosen.err.contains("use-context NAME` (dev)"), "{unchosen:?}");
    Ok(())
}

#[tokio::test]
async fn a_context_whose_files_are_not_there_is_saved_with_a_warning() -> Result<()> {
    let home = Home(tempfile::tempdir()?);
    let files = ["--ca", "ca.pem", "--cert", "me.pem", "--key", "me-key.pem"];
    std::fs::write(home.0.path().join("ca.pem"), "")?;
    let saved =
        home.run(&[&["config", "set-context", "soon", "--server", "https://gate:1"][..], &files].concat()).await?;
    assert_eq!(
        (saved.code, saved.out.as_str()),
        (Some(0), "context soon is saved, and the current one\n"),
        "{saved:?}"
    );
    let lines: Vec<_> =
        saved.err.lines().map(|line| line.split_once(": there is no ").map(|(begin, _)| begin)).collect();
    assert_eq!(lines, [Some("warning: --cert"), Some("warning: --key")], "{saved:?}");
    assert_eq!(home.done(&["config", "current-context"]).await?, "soon\n");

    let mixed = home.run(&["whoami", "--cert", "other.pem"]).await?;
    let said = "the certificate is from --cert, and its key from the current context: give --key too";
    assert!(mixed.code == Some(2) && mixed.err.contains(said), "{mixed:?}");
    Ok(())
}

#[tokio::test]
async fn paths_are_kept_from_wherever_they_are_given() -> Result<()> {
    let suite = suite::shared().await?;
    let home = Home(tempfile::tempdir()?);
    for (from, to) in [("ca.pem", "ca.pem"), ("clients/viewer.pem", "me.pem"), ("clients/viewer-key.pem", "me-key.pem")]
    {
        std::fs::copy(suite.certs().join(from), home.0.path().join(to))?;
    }
    let server = format!("https://localhost:{}", suite.address().port());
    let files = ["--ca", "ca.pem", "--cert", "me.pem", "--key", "me-key.pem"];
    home.done(&[&["config", "set-context", "here", "--server", &server][..], &files].concat()).await?;
    let mut elsewhere = Command::new(binary("scalegate")?);
    elsewhere.arg("version").env_clear().env("HOME", home.0.path()).current_dir(Path::new("/"));
    assert_eq!(printed(elsewhere.output().await?)?.code, Some(0));
    std::fs::write(home.file(), "contexts: {}\ncolour: blue\n")?;
    let unknown = home.run(&["list"]).await?;
    assert!(unknown.code == Some(2) && unknown.err.contains("colour"), "{unknown:?}");
    Ok(())
}

/// What `make dev` and `make kind-deploy` write.
#[tokio::test]
async fn written_contexts_are_the_operator_and_the_viewer() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let home = Home(tempfile::tempdir()?);
    // A file that is not there yet, in a directory that is not there either.
    let server = format!("https://localhost:{}", suite.address().port());
    write_contexts(&home.file(), "kind", &server, suite.certs(), &namespace).await?;
    assert!(home.done(&["whoami"]).await?.contains("scalegate.test/operator"));
    assert!(home.done(&["whoami", "--context", "kind-viewer"]).await?.contains("scalegate.test/viewer"));
    assert_eq!(home.done(&["list", "-o", "name"]).await?.lines().count(), 3, "of the context's namespace");

    // A directory of certificates with any name, from where the script is called.
    let odd = home.0.path().join("it's: #odd");
    std::os::unix::fs::symlink(suite.certs(), &odd)?;
    let mut script = Command::new(repository().join("deploy/contexts.sh"));
    script.args(["odd.yaml", "odd", &server, "it's: #odd"]).current_dir(home.0.path());
    assert!(script.status().await?.success());
    let mut odd = Command::new(binary("scalegate")?);
    odd.args(["version"]).env_clear().env("SCALEGATE_CONFIG", home.0.path().join("odd.yaml"));
    let odd = printed(odd.output().await?)?;
    assert_eq!(odd.code, Some(0), "{odd:?}");
    Ok(())
}

#[tokio::test]
async fn the_variables_of_kind_name_the_contexts_that_its_verb_writes() -> Result<()> {
    let mut bash = Command::new("bash");
    bash.args(["-c", "source deploy/kind/env && echo \"$SCALEGATE_CONFIG\""]).current_dir(repository());
    let named = printed(bash.output().await?)?.out;
    let verb = std::fs::read_to_string(repository().join("Makefile"))?;
    let written = verb.split("CONTEXTS=").nth(1).and_then(|rest| rest.split(' ').next()).context("no CONTEXTS")?;
    assert_eq!(Path::new(named.trim()), repository().join(written));
    Ok(())
}
