//! The `scalegate` program.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use scalegate::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A terminal may have only standard error, and nothing can be done if it has not even that.
            let _ = writeln!(std::io::stderr(), "scalegate: {failure}");
            failure.exit_code()
        }
    }
}
