//! Runs one program and ends it when whoever started the guard is gone.
//!
//! `guard [--log FILE] [--pid-file FILE] -- PROGRAM [ARGUMENTS…]`
//!
//! The guard's standard input is a pipe from its owner. The kernel closes that pipe however the owner ends: by
//! returning, by a panic or by `kill -9`. At that end of input the guard asks the program to stop (SIGTERM) and, ten
//! seconds later, kills it. While the owner lives it may write two commands, a line each: `term` sends SIGTERM once,
//! `kill` sends SIGKILL. Only the guard signals the program and only before it has reaped it, so a signal never reaches
//! a stranger that was given the same process id.
//!
//! The program runs in a process group of its own, with its standard input empty. Whatever is left of that group when
//! the program has ended is killed. The guard's exit status is the program's, or 128 plus the signal that ended it.
//!
//! A guard that is itself killed cannot do its work: end the owner, never the guard.

use std::fs::{self, File};
use std::io::{self, BufRead, ErrorKind};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a program may take to stop before it is killed.
const GRACE: Duration = Duration::from_secs(10);

enum Event {
    Term,
    Kill,
    OwnerGone,
    ProgramEnded,
}

#[derive(Default)]
struct Options {
    log: Option<PathBuf>,
    pid_file: Option<PathBuf>,
    program: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    let mut child = start(&options)?;
    let group = Pid::from_child(&child);
    if let Err(error) = options.publish_pid(&child) {
        signal(group, Signal::KILL);
        child.wait()?;
        return Err(error);
    }
    let (sender, events) = mpsc::channel();
    watch_owner(sender.clone());
    watch_program(group, sender);
    supervise(group, &events);
    // The program is a zombie still, so its group's id belongs to nobody else.
    signal(group, Signal::KILL);
    Ok(exit_code(child.wait().context("reap the program")?))
}

impl Options {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--log" => options.log = arguments.next().map(PathBuf::from),
                "--pid-file" => options.pid_file = arguments.next().map(PathBuf::from),
                "--" => options.program = arguments.by_ref().collect(),
                other => bail!("unknown argument {other:?}; use: guard [--log FILE] [--pid-file FILE] -- PROGRAM …"),
            }
        }
        if options.program.is_empty() {
            bail!("no program given; use: guard [--log FILE] [--pid-file FILE] -- PROGRAM …");
        }
        Ok(options)
    }

    fn publish_pid(&self, child: &Child) -> Result<()> {
        self.pid_file.as_deref().map_or(Ok(()), |path| write_whole(path, &child.id().to_string()))
    }
}

fn start(options: &Options) -> Result<Child> {
    let mut command = Command::new(&options.program[0]);
    command.args(&options.program[1..]).stdin(Stdio::null()).process_group(0);
    if let Some(path) = &options.log {
        let log =
            File::options().create(true).append(true).open(path).with_context(|| format!("open {}", path.display()))?;
        command.stderr(log.try_clone()?).stdout(log);
    }
    command.spawn().with_context(|| format!("start {}", options.program[0]))
}

/// A reader sees no file or the whole file.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).with_context(|| format!("write {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
}

fn watch_owner(events: Sender<Event>) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let event = match line.as_deref() {
                Ok("term") => Event::Term,
                Ok("kill") => Event::Kill,
                Ok(_) => continue,
                Err(_) => break,
            };
            if events.send(event).is_err() {
                return;
            }
        }
        // Nobody is left to tell when the receiver is gone: the guard is ending.
        let _ = events.send(Event::OwnerGone);
    });
}

/// Learns of the program's end without reaping it.
fn watch_program(program: Pid, events: Sender<Event>) {
    thread::spawn(move || {
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(error) = waitid(WaitId::Pid(program), ended) {
            if io::Error::from(error).kind() != ErrorKind::Interrupted {
                break;
            }
        }
        let _ = events.send(Event::ProgramEnded);
    });
}

/// Returns when the program has ended or has been killed for overstaying its grace.
fn supervise(group: Pid, events: &Receiver<Event>) {
    let mut deadline: Option<Instant> = None;
    loop {
        let event = match deadline {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => events.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Term) => signal(group, Signal::TERM),
            Ok(Event::Kill) => signal(group, Signal::KILL),
            Ok(Event::OwnerGone) => {
                signal(group, Signal::TERM);
                deadline = Some(Instant::now() + GRACE);
            }
            Ok(Event::ProgramEnded) | Err(_) => return,
        }
    }
}

/// A group that has ended already needs no signal.
fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
