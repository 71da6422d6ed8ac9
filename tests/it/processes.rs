//! Child processes end when and as they are told to.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Pid, test_kill_process};
use scalegate_tests::poll;
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::process::Process;
use tempfile::tempdir;

const LIMIT: Duration = Duration::from_mins(1);

async fn shell(script: &str, logs: &Path) -> Result<Process> {
    let directory = logs.display().to_string();
    Process::spawn("shell", Path::new("/bin/sh"), &["-c", script], &[("DIRECTORY", &directory)], logs).await
}

#[tokio::test]
async fn a_program_that_is_asked_to_stop_may_finish_its_work() -> Result<()> {
    let logs = tempdir()?;
    let script = "trap 'echo finished; exit 7' TERM; echo $DIRECTORY; while :; do sleep 0.01; done";
    let process = shell(script, logs.path()).await?;
    assert!(process.is_running());
    // Only once it speaks has it said what it does at SIGTERM.
    poll::until("the program's first words", LIMIT, async || {
        let spoke = process.log_tail().contains(&logs.path().display().to_string());
        Ok(if spoke { ControlFlow::Break(()) } else { ControlFlow::Continue("it is silent".to_owned()) })
    })
    .await?;

    let status = process.terminate().await?;

    assert_eq!(status.code(), Some(7));
    assert!(fs::read_to_string(logs.path().join("shell.log"))?.ends_with("finished\n"));
    Ok(())
}

#[tokio::test]
async fn a_killed_program_takes_its_own_children_with_it() -> Result<()> {
    let logs = tempdir()?;
    let pipe = logs.path().join("alive");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    let process = shell("sleep 1000 >$DIRECTORY/alive & wait", logs.path()).await?;
    let mut alive = File::open(&pipe)?;

    let status = process.kill().await?;

    assert_eq!(status.code(), Some(128 + 9));
    // The end of the pipe's content is the end of its only writer.
    assert_eq!(alive.read_to_end(&mut Vec::new())?, 0);
    Ok(())
}

#[tokio::test]
async fn a_dropped_process_has_ended() -> Result<()> {
    let logs = tempdir()?;
    let process = shell("exec sleep 1000", logs.path()).await?;
    let pid = Pid::from_raw(process.pid().try_into()?).unwrap();
    drop(process);
    assert!(test_kill_process(pid).is_err());
    Ok(())
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_error_that_names_it() -> Result<()> {
    let logs = tempdir()?;
    let outcome = Process::spawn("absent", Path::new("/nowhere/absent"), &[""], &[], logs.path()).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("start /nowhere/absent"), "{error}");
    Ok(())
}

#[test]
fn a_process_is_waited_for_in_another_runtime_than_it_was_started_in() -> Result<()> {
    let logs = tempdir()?;
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let process = runtime()?.block_on(shell("exit 3", logs.path()))?;
    let status = runtime()?.block_on(process.wait())?;
    assert_eq!(status.code(), Some(3));
    Ok(())
}

#[test]
fn ports_that_are_reserved_at_once_differ() -> Result<()> {
    let (one, other) = (ReservedPort::reserve()?, ReservedPort::reserve()?);
    assert_ne!(one.number(), other.number());
    Ok(())
}
