//! Where lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often to check whether the file was moved.
const LOOK: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// A file that is appended to, created with mode 0600 if it is missing. Once it was moved or removed, it is
    /// reopened before the next line, a second later at the latest.
    File(PathBuf),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// An output that is open.
#[derive(Debug)]
pub(super) enum Open {
    Stdout,
    File(Opened),
}

#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    looked: Instant,
    /// The last write failed, so the file may end in the middle of a line.
    torn: bool,
}

impl Open {
    pub(super) fn new(output: Output) -> io::Result<Self> {
        match output {
            Output::Stdout => Ok(Self::Stdout),
            Output::File(path) => Opened::new(path).map(Self::File),
        }
    }

    /// Reopens the file if asked to, or if it was moved or removed. Returns whether it was reopened.
    ///
    /// # Errors
    ///
    /// Where the file was removed and cannot be reopened: nobody could read what is written to it. One that was moved
    /// stays in use until it can.
    pub(super) fn follow(&mut self, asked: bool) -> io::Result<bool> {
        match self {
            Self::Stdout => Ok(false),
            Self::File(opened) => opened.follow(asked),
        }
    }

    /// Hands whole lines to the operating system.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(opened) => opened.write(lines),
        }
    }
}

impl Opened {
    fn new(path: PathBuf) -> io::Result<Self> {
        let (file, identity) = open(&path)?;
        Ok(Self { path, file, identity, looked: Instant::now(), torn: false })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = if self.torn { self.file.write_all(b"\n") } else { Ok(()) };
        let written = written.and_then(|()| self.file.write_all(lines));
        self.torn = written.is_err();
        written
    }

    fn follow(&mut self, asked: bool) -> io::Result<bool> {
        let removed = self.file.metadata()?.nlink() == 0;
        if !asked && !removed && !self.was_moved() {
            return Ok(false);
        }
        match open(&self.path) {
            Ok((file, identity)) => {
                (self.file, self.identity, self.torn) = (file, identity, false);
                Ok(true)
            }
            Err(error) if removed => Err(error),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot reopen the output file");
                Ok(false)
            }
        }
    }

    /// Returns whether the path leads elsewhere; checks once a second.
    fn was_moved(&mut self) -> bool {
        if self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        !std::fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }
}

fn open(path: &Path) -> io::Result<(File, (u64, u64))> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let identity = identity(&file.metadata()?);
    Ok((file, identity))
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
