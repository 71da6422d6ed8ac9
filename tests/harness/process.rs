//! Child processes that never outlive the harness.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(10);

/// A running program under its guard. Dropping it ends the program and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    guard: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Process {
    /// Starts `program`; its output goes to `directory/name.log`.
    pub fn spawn<S: AsRef<OsStr>>(name: &str, program: &Path, arguments: &[S], directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let log = directory.join(format!("{name}.log"));
        let pid_file = directory.join(format!("{name}.pid"));
        for old in [&log, &pid_file] {
            let _ = std::fs::remove_file(old);
        }
        let guard = Command::new(binary("guard")?)
            .args([&log, &pid_file, &program.to_owned()])
            .args(arguments)
            .stdin(Stdio::piped())
            // A terminal's Ctrl-C is for the harness, which ends its programs in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), guard, log, pid_file })
    }

    /// The file of its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!("{}:\n{}", self.log.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.guard.try_wait(), Ok(None))
    }

    /// The program's process id.
    pub async fn pid(&mut self) -> Result<i32> {
        loop {
            if let Ok(text) = std::fs::read_to_string(&self.pid_file)
                && let Ok(pid) = text.parse()
            {
                return Ok(pid);
            }
            if !self.is_running() {
                bail!("{} ended at once; {}", self.name, self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it with SIGTERM and waits for the end.
    pub async fn terminate(self) -> Result<()> {
        self.end(Signal::TERM).await
    }

    /// Ends it with SIGKILL and waits for the end.
    pub async fn kill(self) -> Result<()> {
        self.end(Signal::KILL).await
    }

    async fn end(mut self, signal: Signal) -> Result<()> {
        let pid = self.pid().await?;
        if let Some(pid) = Pid::from_raw(pid)
            && self.is_running()
        {
            // It may have ended by itself in between.
            let _ = kill_process(pid, signal);
        }
        let deadline = Instant::now() + END_WITHIN;
        while self.is_running() {
            if Instant::now() > deadline {
                bail!("{} does not end; {}", self.name, self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closes the pipe, upon which the guard ends the program, forcibly if need be.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A program of this workspace, built beside the running one.
pub fn binary(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("no program {name} near {}: build the workspace first", here.display()))
}

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
