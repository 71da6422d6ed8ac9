//! Compilers that keep every processor busy.

use std::fmt::Write as _;
use std::num::NonZero;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinSet;

/// How many functions one compiler compiles at a time.
const FUNCTIONS: usize = 1000;

/// As many compilers as there are processors, each compiling again and again. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Compilers(JoinSet<Result<()>>);

impl Compilers {
    pub(crate) fn start() -> Self {
        let mut compilers = JoinSet::new();
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            compilers.spawn(async {
                loop {
                    compile().await?;
                }
            });
        }
        Self(compilers)
    }

    /// An error if one of them has ended: then the processors were not busy.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.0.try_join_next() {
            None => Ok(()),
            Some(ended) => ended?.context("a compiler failed"),
        }
    }
}

async fn compile() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut rustc = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=lib", "--crate-name=busy", "-Copt-level=3", "-"])
        .arg("--out-dir")
        .arg(directory.path())
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start rustc")?;
    let mut source = String::new();
    for number in 0..FUNCTIONS {
        writeln!(
            source,
            "pub fn f{number}(text: &str) -> String {{
                let mut parts: Vec<_> = text.split('-').map(|part| format!(\"{{part}}{number}\")).collect();
                parts.sort();
                parts.join(\",\")
            }}"
        )?;
    }
    rustc.stdin.take().context("no stdin")?.write_all(source.as_bytes()).await?;
    ensure!(rustc.wait().await?.success(), "rustc refuses what it was given");
    Ok(())
}
