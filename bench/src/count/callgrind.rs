//! Valgrind's callgrind, which counts a program's instructions while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What a program is run under; the counts are written to files whose names begin with `out`.
pub(super) fn command(out: &Path) -> Vec<String> {
    let out = format!("--callgrind-out-file={}", out.display());
    // One thread at a time runs under Valgrind; the fair scheduler lets none starve.
    ["valgrind", "--quiet", "--tool=callgrind", "--fair-sched=yes", &out].map(str::to_owned).into()
}

/// The counters of a running program.
#[derive(Debug)]
pub(super) struct Callgrind {
    process: String,
    out: PathBuf,
    dumps: u32,
}

impl Callgrind {
    pub(super) fn new(process: u32, out: PathBuf) -> Self {
        Self { process: process.to_string(), out, dumps: 0 }
    }

    /// Stops counting, so that the program runs several times as fast.
    pub(super) fn pause(&self) -> Result<()> {
        self.control("--instr=off")
    }

    /// Counts again.
    pub(super) fn resume(&self) -> Result<()> {
        self.control("--instr=on")
    }

    /// Sets the counters to zero.
    pub(super) fn zero(&self) -> Result<()> {
        self.control("--zero")
    }

    /// The instructions of all threads since they were zero, in thousands, and sets them to zero.
    pub(super) fn dump(&mut self) -> Result<f64> {
        self.control("--dump")?;
        self.dumps += 1;
        let path = self.out.with_added_extension(self.dumps.to_string());
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("no totals in the counts")?;
        Ok(totals.trim().parse::<f64>()? / 1000.0)
    }

    fn control(&self, order: &str) -> Result<()> {
        let output = Command::new("callgrind_control").args([order, &self.process]).output().context(
            "run callgrind_control, which is part of Valgrind; on Debian and Ubuntu: apt-get install valgrind",
        )?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && text.contains("OK"), "callgrind_control {order}: {text}");
        Ok(())
    }
}
