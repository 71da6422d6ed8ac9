//! Runs the blocks of a document in one shell.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{Block, Fate, blocks};
use crate::paths::repository;

/// The longest that a block may take. The kubelet updates changed volumes within a minute or two.
const PATIENCE: Duration = Duration::from_mins(5);

/// A shell at the root of the repository, as the reader of documents has: variables, functions and background jobs live on.
pub struct Shell {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    files: tempfile::TempDir,
}

impl Shell {
    /// Starts one with these variables.
    ///
    /// # Errors
    ///
    /// Where there is no bash.
    pub fn start(environment: &[(&str, String)]) -> Result<Self> {
        let mut child = Command::new("bash")
            .args(["-euo", "pipefail", "-s"])
            .current_dir(repository())
            .envs(environment.iter().map(|(name, value)| (name, value)))
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
    /// Ends what the document left in the background, too.
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

/// Runs the blocks of a document, called `page`; how many were run, of how many.
///
/// # Errors
///
/// The first block that does not do what the document says.
pub async fn walk(shell: &mut Shell, page: &str, document: &str) -> Result<(usize, usize)> {
    let blocks = blocks(document)?;
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
