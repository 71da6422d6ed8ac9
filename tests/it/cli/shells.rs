//! Completion, in real shells: what Tab makes of what is typed.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use scalegate_tests::paths::binary;
use scalegate_tests::sandbox::write_contexts;
use scalegate_tests::suite::{self, Shared};
use scalegate_tests::terminal::{MARK, Terminal};
use tokio::process::Command;

use super::{printed, tiers};

/// The shells' home, with contexts of the operator and the viewer of a namespace.
struct Home {
    directory: tempfile::TempDir,
    programs: PathBuf,
    namespace: String,
}

impl Home {
    async fn new(suite: &Shared) -> Result<Self> {
        let (directory, namespace) = (tempfile::tempdir()?, tiers(suite).await?);
        let server = format!("https://localhost:{}", suite.address().port());
        write_contexts(&directory.path().join("contexts.yaml"), "dev", &server, suite.certs(), &namespace).await?;
        let programs = binary("scalegate")?.parent().context("a directory")?.to_owned();
        Ok(Self { directory, programs, namespace })
    }

    /// A shell that reads no files of this machine's user.
    fn shell(&self, program: &str, arguments: &[&str]) -> Result<Command> {
        let mut shell = Command::new(program);
        shell
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("INPUTRC", "/dev/null")
            .env("PATH", format!("{}:{}", self.programs.display(), std::env::var("PATH")?))
            .env("SCALEGATE_CONFIG", self.directory.path().join("contexts.yaml"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        Ok(shell)
    }

    /// What is typed before Tab, and what it is then.
    fn completions(&self) -> Vec<(String, String)> {
        let namespace = &self.namespace;
        let pairs = [
            ("scalegate whoa", "scalegate whoami"),
            ("scalegate get --out", "scalegate get --output"),
            ("scalegate get -o js", "scalegate get -o json"),
            ("scalegate get jo", "scalegate get job"),
            ("scalegate set we", "scalegate set web"),
            ("scalegate release job we", "scalegate release job we"),
            ("scalegate history we", "scalegate history web"),
            ("scalegate watch --context dev-v", "scalegate watch --context dev-viewer"),
            ("scalegate get --context dev-viewer we", "scalegate get --context dev-viewer web"),
            ("scalegate config use-context dev-v", "scalegate config use-context dev-viewer"),
            ("scalegate get NAMESPACE/we", "scalegate get NAMESPACE/web"),
            ("scalegate list -n NAMESPAC", "scalegate list -n NAMESPACE"),
        ];
        let cut = &namespace[..namespace.len() - 1];
        let named = |text: &str| text.replace("NAMESPACE", namespace).replace("NAMESPAC", cut);
        pairs.iter().map(|(before, after)| (named(before), named(after))).collect()
    }
}

/// Returns whether the machine has the shell. Where CI is set, it must.
fn is_here(shell: &str) -> Result<bool> {
    let is_here = std::process::Command::new(shell).arg("-c").arg(":").status().is_ok();
    ensure!(is_here || std::env::var_os("CI").is_none(), "there is no {shell}");
    if !is_here {
        println!("skipped: there is no {shell}");
    }
    Ok(is_here)
}

/// Presses Tab in a shell that asks for commands.
async fn check(terminal: &mut Terminal, home: &Home) -> Result<()> {
    for (before, after) in home.completions() {
        terminal.press(&format!("{before}\t")).await?;
        // Whatever follows is shown after the answer.
        terminal.press("#").await?;
        terminal.until("the typed line", |terminal| terminal.line().trim_end().ends_with('#')).await?;
        let line = terminal.line();
        let shown = line.trim_start_matches("$ ").trim_end().trim_end_matches('#').trim_end();
        assert_eq!(shown, after, "after {before}");
        // Ctrl-U discards the line.
        terminal.press("\u{15}").await?;
        terminal.until("the prompt alone", |terminal| terminal.line().trim_end() == "$").await?;
    }
    Ok(())
}

#[tokio::test]
async fn bash_completes_commands_options_and_names() -> Result<()> {
    let suite = suite::shared().await?;
    let home = Home::new(&suite).await?;
    let mut bash = home.shell("bash", &["--norc", "--noprofile"])?;
    bash.env("PS1", format!("\\[{MARK}\\]$ "));
    let mut terminal = Terminal::start(bash)?;
    terminal.prompt_after(0).await?;
    terminal.run("source <(scalegate completion bash)").await?;
    check(&mut terminal, &home).await
}

#[tokio::test]
async fn zsh_completes_the_same() -> Result<()> {
    if !is_here("zsh")? {
        return Ok(());
    }
    let suite = suite::shared().await?;
    let home = Home::new(&suite).await?;
    let mut zsh = home.shell("zsh", &["-f"])?;
    zsh.env("PS1", format!("%{{{MARK}%}}$ "));
    let mut terminal = Terminal::start(zsh)?;
    terminal.prompt_after(0).await?;
    terminal.run("autoload -Uz compinit && compinit -u && source <(scalegate completion zsh)").await?;
    check(&mut terminal, &home).await
}

#[tokio::test]
async fn fish_completes_the_same() -> Result<()> {
    if !is_here("fish")? {
        return Ok(());
    }
    let suite = suite::shared().await?;
    let home = Home::new(&suite).await?;
    for (before, after) in home.completions() {
        let ask = "scalegate completion fish | source; complete --do-complete $argv[1]";
        let mut fish = home.shell("fish", &["--no-config", "--command", ask, &before])?;
        let offered = printed(fish.output().await?)?;
        assert_eq!((offered.code, offered.err.as_str()), (Some(0), ""), "{before}");
        // The word and what it is, with a tab between them; none where there is nothing to complete.
        let words: Vec<_> = offered.out.lines().filter_map(|line| line.split('\t').next()).collect();
        let word = after.rsplit(' ').next().unwrap_or_default();
        assert_eq!(words, if before == after { vec![] } else { vec![word] }, "{before}");
    }
    Ok(())
}
