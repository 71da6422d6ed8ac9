//! The outputs that lines are written to.

mod file;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use self::file::OpenFile;

/// Whether standard output may end in the middle of a line, since the last write to it failed.
static STDOUT_TORN: AtomicBool = AtomicBool::new(false);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file that is appended to, created with mode 0600 if it is missing; or a named pipe or a character device. A
    /// symbolic link is refused: its target could be replaced. After it was moved or removed, which is noticed within a
    /// second, it is reopened before the next line.
    File(PathBuf),
}

impl Output {
    /// Returns whether it is a standard output that nobody can read: `/dev/null`, which the runtime also opens in place
    /// of a closed one.
    pub fn is_discarded(&self) -> bool {
        let device = |metadata: std::fs::Metadata| metadata.file_type().is_char_device().then(|| metadata.rdev());
        let null = || std::fs::metadata("/dev/null").ok().and_then(device);
        let stdout = || File::from(io::stdout().as_fd().try_clone_to_owned().ok()?).metadata().ok().and_then(device);
        *self == Self::Stdout && stdout().is_some_and(|stdout| Some(stdout) == null())
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// An open output.
#[derive(Debug)]
pub(super) enum Open {
    Stdout(File),
    File { path: PathBuf, file: OpenFile },
}

impl Open {
    pub(super) fn new(output: Output) -> io::Result<Self> {
        match output {
            Output::Stdout => Ok(Self::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into())),
            Output::File(path) => Ok(Self::File { file: OpenFile::open(&path)?, path }),
        }
    }

    /// Reopens the file if asked to, or if it was moved or removed. Returns whether the output may lack earlier lines:
    /// it was reopened, or the file was truncated.
    ///
    /// # Errors
    ///
    /// The file was removed and cannot be created again, so nobody could read what is written to it. A file that was
    /// moved stays in use until another can be opened.
    pub(super) fn follow(&mut self, asked: bool) -> io::Result<bool> {
        match self {
            Self::Stdout(_) => Ok(false),
            Self::File { path, file } => follow(path, file, asked),
        }
    }

    /// Hands whole lines to the operating system.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(file) => {
                // The lock keeps lines of the log and of the audit from mixing. The write bypasses its buffer, which
                // would keep lines that were reported as lost and write them later.
                let _lock = io::stdout().lock();
                let torn = STDOUT_TORN.load(Ordering::Relaxed);
                let written = write_whole(file, torn, lines);
                STDOUT_TORN.store(written.is_err(), Ordering::Relaxed);
                written
            }
            Self::File { file, .. } => file.write(lines),
        }
    }
}

fn follow(path: &Path, file: &mut OpenFile, asked: bool) -> io::Result<bool> {
    let removed = file.is_removed()?;
    if !asked && !removed && !file.was_moved(path) {
        return file.was_truncated();
    }
    match OpenFile::open(path) {
        Ok(reopened) => {
            *file = reopened;
            Ok(true)
        }
        Err(error) if removed => Err(error),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot reopen the output file");
            file.was_truncated()
        }
    }
}

/// Writes `lines`, after a newline if the output may end in the middle of a line.
fn write_whole(file: &mut File, torn: bool, lines: &[u8]) -> io::Result<()> {
    if torn && !lines.is_empty() {
        file.write_all(b"\n")?;
    }
    file.write_all(lines)
}
