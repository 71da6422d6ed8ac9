//! The `scalegate` program.

use std::io::Write;
use std::process::ExitCode;

use scalegate::cli::Cli;
use scalegate::text::escaped_lines;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A terminal may have only standard error, and nothing can be done if it has not even that. Errors repeat
            // what others wrote.
            let _ = writeln!(std::io::stderr(), "scalegate: {}", escaped_lines(&failure.to_string()));
            failure.exit_code()
        }
    }
}
