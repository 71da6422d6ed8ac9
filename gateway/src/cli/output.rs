//! What commands print. Names, annotations and reasons in it are others' text: nothing that a terminal obeys gets through.
//!
//! Once nobody reads the output, as after `| head`, the rest is dropped. A command that prints until it is stopped ends then;
//! any other ends as it would have.

use std::io::{self, ErrorKind, Write};
use std::ops::ControlFlow;

use clap::error::{ContextValue, Error as UsageError};
use serde::Serialize;

use crate::text::{cut, escaped, escaped_json, escaped_lines};

/// The most bytes of an argument that are repeated in an error.
const SHOWN_ARGUMENT: usize = 100;

/// Prints lines to standard output.
pub(super) fn print(text: &str) -> io::Result<()> {
    write(&mut io::stdout(), &escaped_lines(text))
}

/// Prints text whose parts by others are escaped already, and that may have colours and tabs of our own.
pub(super) fn print_escaped(text: &str) -> io::Result<()> {
    write(&mut io::stdout(), text)
}

/// As [`print_escaped`], for output that has no end: breaks where nobody reads any further.
pub(super) fn print_part(text: &str) -> io::Result<ControlFlow<()>> {
    write_part(&mut io::stdout(), text)
}

/// Prints a JSON document to standard output.
pub(super) fn print_json(document: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_string_pretty(document)?;
    write(&mut io::stdout(), &format!("{}\n", escaped_json(&json)))
}

/// Says something beside the output.
pub(super) fn note(line: &str) -> io::Result<()> {
    write(&mut io::stderr(), &format!("{}\n", escaped(line)))
}

fn write(to: &mut impl Write, text: &str) -> io::Result<()> {
    write_part(to, text).map(|_| ())
}

fn write_part(to: &mut impl Write, text: &str) -> io::Result<ControlFlow<()>> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error),
    }
}

/// An argument as an error repeats it: cut and escaped.
pub(super) fn argument(text: &str) -> String {
    escaped(&cut(text, SHOWN_ARGUMENT)).into_owned()
}

/// The same error about arguments, which repeats them cut and escaped.
pub(super) fn shown(mut error: UsageError) -> UsageError {
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in context {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(argument(&text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(|text| argument(text)).collect()),
            // Advice, which repeats the argument as it is.
            ContextValue::StyledStrs(advice) => {
                let harmless = |text: &str| text.len() <= 2 * SHOWN_ARGUMENT && escaped(text) == text;
                ContextValue::StyledStrs(advice.into_iter().filter(|it| harmless(&it.to_string())).collect())
            }
            _ => continue,
        };
        error.insert(kind, value);
    }
    error
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::os::fd::OwnedFd;

    use clap::Parser;

    use super::*;
    use crate::cli::Cli;
    use crate::text::invisible;

    #[test]
    fn an_output_that_nobody_reads_any_further_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut closed = std::fs::File::from(OwnedFd::from(writer));
        write(&mut closed, "text").unwrap();
        assert!(write_part(&mut closed, "text").unwrap().is_break());
        assert!(write_part(&mut Vec::new(), "text").unwrap().is_continue());
        assert!(write(&mut std::fs::File::create("/dev/full").unwrap(), "text").is_err());
    }

    #[test]
    fn an_argument_in_an_error_is_cut_and_escaped() {
        let hostile = format!("\u{1b}]0;x\u{7}\u{202e}{}", "x".repeat(10_000));
        for arguments in [
            ["scalegate", "set", "demo/web", "3", "--reason", &hostile].as_slice(),
            &["scalegate", "set", &hostile, "3"],
            &["scalegate", "get", "demo/web", &format!("--{hostile}")],
            &["scalegate", &hostile],
        ] {
            let error = shown(Cli::try_parse_from(arguments).unwrap_err()).render().to_string();
            assert!(error.len() < 1000, "{} bytes", error.len());
            assert!(error.chars().all(|c| c == '\n' || !invisible(c)), "{error:?}");
            assert!(error.contains(r"\u{1b}]0;x\u{7}\u{202e}xxx"), "{error}");
        }
    }
}
