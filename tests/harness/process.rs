//! Child processes that cannot outlive whoever started them, however that ends.
//!
//! Each program runs under `guard` (see `tests/bin/guard.rs`), which ends it when the pipe from this process closes.
//! Nothing here belongs to a tokio runtime, so a [`Process`] may be started in one test and waited for in another.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::{paths, poll};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const TAIL_BYTES: u64 = 4096;

/// A running program whose output goes to a file. Dropping it kills the program and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    log: PathBuf,
    log_start: u64,
    commands: ChildStdin,
    ended: watch::Receiver<Option<ExitStatus>>,
    waiter: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` with `environment` added to this process's own. Its output is appended to `NAME.log` in `logs`;
    /// `NAME.pid` there holds its process id.
    ///
    /// An error if the program cannot be executed; a program that starts and fails is seen by [`Self::is_running`].
    pub async fn spawn<A: AsRef<str>>(
        name: &str,
        program: &Path,
        arguments: &[A],
        environment: &[(&str, &str)],
        logs: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(logs).with_context(|| format!("create {}", logs.display()))?;
        let (log, pid_file) = (logs.join(format!("{name}.log")), logs.join(format!("{name}.pid")));
        let _ = fs::remove_file(&pid_file);
        let log_start = fs::metadata(&log).map_or(0, |metadata| metadata.len());

        let mut guard = Command::new(paths::binary("guard")?);
        guard.arg("--log").arg(&log).arg("--pid-file").arg(&pid_file).arg("--").arg(program);
        guard.args(arguments.iter().map(AsRef::as_ref)).envs(environment.iter().copied());
        // A group of its own: a terminal's Ctrl-C reaches this process alone, which then ends its children in order.
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(append_to(&log)?);
        let mut child = guard.spawn().with_context(|| format!("start the guard of {name}"))?;
        let commands = child.stdin.take().context("the guard has no standard input")?;
        let (ended, waiter) = watch_end(child);

        let mut process = Self { name: name.to_owned(), pid: 0, log, log_start, commands, ended, waiter: Some(waiter) };
        process.pid = process.published_pid(&pid_file).await?;
        Ok(process)
    }

    async fn published_pid(&self, pid_file: &Path) -> Result<u32> {
        poll::until(&format!("the start of {}", self.name), START_LIMIT, async || {
            if let Ok(text) = fs::read_to_string(pid_file) {
                return Ok(ControlFlow::Break(text.parse().context("read a process id")?));
            }
            self.check()?;
            Ok(ControlFlow::Continue("it has no process id".to_owned()))
        })
        .await
    }

    /// Waits until the program accepts connections at `address`; an error if it ends first.
    pub async fn wait_for_port(&self, address: SocketAddr) -> Result<()> {
        poll::until(&format!("{} to accept connections", self.name), START_LIMIT, async || {
            self.check()?;
            Ok(match TcpStream::connect(address).await {
                Ok(_) => ControlFlow::Break(()),
                Err(error) => ControlFlow::Continue(error.to_string()),
            })
        })
        .await
    }

    /// The name that the process was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's process id, which is also its process group's; it may belong to another once the program ended.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the program has not ended yet.
    pub fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// An error with the log's end if the program has ended.
    pub fn check(&self) -> Result<()> {
        match *self.ended.borrow() {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended ({status}); its log {} ends:\n{}", self.name, self.log.display(), self.log_tail())
            }
        }
    }

    /// The last 4 KiB of what the program wrote since this start of it.
    pub fn log_tail(&self) -> String {
        self.read_log_tail().unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }

    fn read_log_tail(&self) -> std::io::Result<String> {
        let mut log = File::open(&self.log)?;
        let from = log.metadata()?.len().saturating_sub(TAIL_BYTES).max(self.log_start);
        log.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for the program to end by itself. The status of a program ended by signal N is the code 128 + N.
    pub async fn wait(&self) -> Result<ExitStatus> {
        let mut ended = self.ended.clone();
        let status = ended.wait_for(Option::is_some).await.context("nobody waits for the guard")?;
        status.context("the program has no exit status")
    }

    /// Asks the program to stop (SIGTERM) and waits for its end. One that needs more than 60 s is killed, an error.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        self.command("term");
        match tokio::time::timeout(STOP_LIMIT, self.wait()).await {
            Ok(status) => status,
            Err(_) => {
                bail!("{} did not stop in {} s; its log ends:\n{}", self.name, STOP_LIMIT.as_secs(), self.log_tail())
            }
        }
    }

    /// Kills the program (SIGKILL) and waits for its end.
    pub async fn kill(mut self) -> Result<ExitStatus> {
        self.command("kill");
        self.wait().await
    }

    /// A guard that cannot be told anything has ended, and so has its program.
    fn command(&mut self, command: &str) {
        let _ = writeln!(self.commands, "{command}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.command("kill");
        if let Some(waiter) = self.waiter.take() {
            // The waiting thread does nothing that could panic.
            let _ = waiter.join();
        }
    }
}

fn append_to(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("open {}", path.display()))
}

/// A thread and not a task waits, so that the end is learnt under whichever runtime asks.
fn watch_end(mut guard: Child) -> (watch::Receiver<Option<ExitStatus>>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(None);
    let waiter = thread::spawn(move || {
        if let Ok(status) = guard.wait() {
            sender.send_replace(Some(status));
        }
    });
    (receiver, waiter)
}
