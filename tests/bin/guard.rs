//! Runs a program and ends it when whoever started the guard is gone, however it went.
//!
//! `guard LOG PIDFILE PROGRAM ARGUMENTS…`: the program's output goes to LOG, its process id to PIDFILE. The starter
//! holds the other end of the guard's standard input. When that closes (a normal end, a panic, `kill -9`), the program
//! and whatever it started get SIGTERM, and after [`GRACE`] SIGKILL. The guard ends as the program did.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

const GRACE: Duration = Duration::from_secs(10);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(log), Some(pid_file), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: guard LOG PIDFILE PROGRAM ARGUMENTS…".into());
    };
    let log: File = OpenOptions::new().create(true).append(true).open(log)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    std::fs::write(pid_file, child.id().to_string())?;

    std::thread::spawn(move || {
        // Nothing is ever written to the pipe: a read ends when the other end closes.
        let _ = std::io::stdin().read(&mut [0]);
        let _ = kill_process_group(group, Signal::TERM);
        std::thread::sleep(GRACE);
        let _ = kill_process_group(group, Signal::KILL);
    });
    let status = child.wait()?;
    let _ = kill_process_group(group, Signal::KILL);
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
