//! The commands of the pages for operators, and of README.md's section on KIND, do what the pages say.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use scalegate_tests::console::{Block, Fate, blocks};
use scalegate_tests::paths::repository;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::cluster::{kubeconfig, kubectl};

/// In this order, in one terminal: the first installs what the last removes.
const PAGES: [&str; 3] = ["docs/install.md", "docs/operations.md", "docs/upgrades.md"];
/// What the pages make and remove again.
const NAMESPACES: [&str; 3] = ["shop-scalegate", "shop", "shop-restored"];
/// The longest that a block may take. The kubelet looks at changed volumes about once a minute.
const PATIENCE: Duration = Duration::from_mins(5);

/// One shell for all pages, as their reader has: variables, functions and background jobs live on.
struct Shell {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    files: tempfile::TempDir,
}

impl Shell {
    fn start() -> Result<Self> {
        let mut child = Command::new("bash")
            .args(["-euo", "pipefail", "-s"])
            .current_dir(repository())
            .env("KUBECONFIG", kubeconfig())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start bash")?;
        let input = child.stdin.take().context("bash without an input")?;
        let output = child.stdout.take().context("bash without an output")?;
        Ok(Self { child, input, answers: BufReader::new(output).lines(), files: tempfile::tempdir()? })
    }

    /// Runs the commands; the status that they end with, and what they print. A shell that ends says so by none.
    async fn run(&mut self, block: &Block) -> Result<(Option<i32>, String)> {
        let (commands, printed) = (self.file("commands"), self.file("printed"));
        fs::write(&commands, &block.commands)?;
        let typed = format!(". '{}' </dev/null >'{}' 2>&1", commands.display(), printed.display());
        let line = match block.fate {
            // What fails ends the shell it runs in.
            Fate::Fails => format!("set +e; (set -e; {typed}); status=$?; set -e; echo $status\n"),
            _ => format!("{typed}; echo 0\n"),
        };
        self.input.write_all(line.as_bytes()).await?;
        let status = match timeout(PATIENCE, self.answers.next_line()).await {
            Ok(answer) => answer?.map(|status| status.parse()).transpose()?,
            Err(_) => bail!("not done after {PATIENCE:?}; until then:\n{}", fs::read_to_string(&printed)?),
        };
        Ok((status, fs::read_to_string(&printed)?))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

impl Drop for Shell {
    /// Ends what the pages left in the background, too.
    fn drop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn check(shell: &mut Shell, block: &Block) -> Result<()> {
    let (status, printed) = shell.run(block).await?;
    match (&block.fate, status) {
        (Fate::Fails, Some(0)) => bail!("it should fail, and did not:\n{printed}"),
        (Fate::Fails, _) | (_, Some(0)) => {}
        _ => bail!("it failed:\n{printed}"),
    }
    if let Some(line) = block.missing_from(&printed) {
        bail!("it did not print\n{line}\nbut\n{printed}");
    }
    Ok(())
}

async fn clean_up() -> Result<()> {
    for namespace in NAMESPACES {
        kubectl(&["delete", "namespace", namespace, "--ignore-not-found"]).await?;
    }
    Ok(())
}

/// Runs the blocks of a page; how many were run, of how many.
async fn walk(shell: &mut Shell, page: &str, text: &str) -> Result<(usize, usize)> {
    let blocks = blocks(text)?;
    let mut run = 0;
    for block in &blocks {
        let what = block.commands.lines().next().unwrap_or_default();
        let place = format!("{page}:{}", block.line);
        if let Fate::NotRun(reason) = &block.fate {
            println!("{place}: not run, since it {reason}: {what}");
            continue;
        }
        let started = Instant::now();
        check(shell, block).await.with_context(|| format!("{place}: {}", block.commands))?;
        println!("{place}: {:.1} s: {what}", started.elapsed().as_secs_f32());
        run += 1;
    }
    println!("{page}: {run} of {} blocks run", blocks.len());
    Ok((run, blocks.len()))
}

#[tokio::test]
async fn every_command_of_the_operators_pages_does_what_the_page_says() -> Result<()> {
    // An earlier run may have ended halfway.
    clean_up().await?;
    let mut shell = Shell::start()?;
    for page in PAGES {
        let (run, all) = walk(&mut shell, page, &fs::read_to_string(repository().join(page))?).await?;
        ensure!(run > all / 2, "most of {page} is not run");
    }
    let left = kubectl(&[&["get", "namespaces", "--ignore-not-found", "-o", "name"], &NAMESPACES[..]].concat()).await?;
    ensure!(left.is_empty(), "the pages leave {left} behind");
    Ok(())
}

#[tokio::test]
async fn the_first_steps_on_kind_do_what_the_readme_says() -> Result<()> {
    let readme = fs::read_to_string(repository().join("README.md"))?;
    let start = readme.find("\n## On KIND\n").context("README.md has no section on KIND")?;
    let section = &readme[start + 1..];
    let section = section.split("\n## ").next().unwrap_or_default();
    // Counted from the top, so that lines are the page's.
    let above = "\n".repeat(readme[..=start].matches('\n').count());
    let (run, _) = walk(&mut Shell::start()?, "README.md", &format!("{above}{section}")).await?;
    ensure!(run > 1, "the section is not run");
    Ok(())
}
