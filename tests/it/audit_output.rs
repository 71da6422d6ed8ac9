//! Outputs of audit records that nobody could read: the gateway says so, and never fails over them later.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Result;
use scalegate_tests::paths::binary;

/// A gateway that would end a moment later, since it has no certificate.
fn serve(output: &str, stdout: impl Into<Stdio>) -> Result<Output> {
    let mut command = Command::new(binary("scalegate")?);
    let arguments = ["serve", "--tls-certificate=/none", "--tls-key=/none", "--tls-client-ca=/none=example.org"];
    command.args(arguments).env("SCALEGATE__AUDIT__OUTPUT", output).stdout(stdout);
    Ok(command.output()?)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_standard_output_that_nobody_can_read_is_refused() -> Result<()> {
    const WHY: &str = "scalegate: audit.output: cannot open stdout: it is closed, or /dev/null";
    let null = refused(&serve("stdout", Stdio::null())?);
    assert!(null.starts_with(WHY), "{null}");
    let script = "exec \"$0\" serve --tls-certificate=/none --tls-key=/none --tls-client-ca=/none=example.org >&-";
    let closed = refused(&Command::new("/bin/sh").args(["-c", script]).arg(binary("scalegate")?).output()?);
    assert!(closed.starts_with(WHY), "{closed}");
    // Whoever wants no records can say so.
    let wanted = refused(&serve("/dev/null", Stdio::null())?);
    assert!(wanted.contains("/none"), "{wanted}");
    Ok(())
}

#[test]
fn an_output_that_is_full_or_whose_reader_is_gone_does_not_stop_the_start() -> Result<()> {
    let full = refused(&serve("stdout", OpenOptions::new().write(true).open("/dev/full")?)?);
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let gone = refused(&serve("stdout", writer)?);
    for text in [full, gone, refused(&serve("/dev/full", File::create("/dev/full")?)?)] {
        assert!(text.contains("/none") && !text.contains("panicked"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    Ok(())
}

#[test]
fn what_is_no_file_is_refused_and_why() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/dev/full", &link)?;
    for (output, why) in [
        (link.as_path(), "it is a symbolic link"),
        (directory.path(), "it is a directory"),
        (Path::new("/none/a"), "No such"),
    ] {
        let text = refused(&serve(&output.display().to_string(), Stdio::piped())?);
        assert!(
            text.starts_with(&format!("scalegate: audit.output: cannot open {}: {why}", output.display())),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn a_command_whose_output_nobody_reads_ends_as_it_would_have() -> Result<()> {
    for (command, code) in [("crd", 0), ("audit-schema", 0), ("--help", 0)] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let output = Command::new(binary("scalegate")?).arg(command).stdout(writer).output()?;
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(code), ""),
            "{command}"
        );
    }
    Ok(())
}
