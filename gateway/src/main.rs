//! The `scalegate` program.

use std::io::Write;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use scalegate::cli::Cli;
use scalegate::text::escaped_lines;

/// After a list of 100,000 objects, glibc's allocator searches long lists of free blocks: an event of a watch costs four
/// times as much with it (`make bench-scale`).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
