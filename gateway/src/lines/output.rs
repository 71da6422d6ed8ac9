//! Where lines go.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// How often to check whether the file was moved.
const LOOK: Duration = Duration::from_secs(1);

/// Whether standard output may end in the middle of a line, since the last write to it failed.
static STDOUT_TORN: AtomicBool = AtomicBool::new(false);

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
    Stdout(File),
    File(Opened),
}

#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    looked: Instant,
    /// The file may end in the middle of a line: it did when it was opened, or the last write failed.
    torn: bool,
}

impl Open {
    pub(super) fn new(output: Output) -> io::Result<Self> {
        match output {
            Output::Stdout => Ok(Self::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into())),
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
            Self::Stdout(_) => Ok(false),
            Self::File(opened) => opened.follow(asked),
        }
    }

    /// Hands whole lines to the operating system.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(file) => {
                // The lock keeps the lines of the log and of the audit apart. Written past its buffer, which would keep
                // what was reported as lost.
                let _lock = io::stdout().lock();
                let torn = STDOUT_TORN.load(Ordering::Relaxed);
                let written = write_whole(file, torn, lines);
                STDOUT_TORN.store(written.is_err(), Ordering::Relaxed);
                written
            }
            Self::File(opened) => opened.write(lines),
        }
    }
}

impl Opened {
    fn new(path: PathBuf) -> io::Result<Self> {
        let (file, identity, torn) = open(&path)?;
        Ok(Self { path, file, identity, looked: Instant::now(), torn })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = write_whole(&mut self.file, self.torn, lines);
        self.torn = written.is_err();
        written
    }

    fn follow(&mut self, asked: bool) -> io::Result<bool> {
        let removed = self.file.metadata()?.nlink() == 0;
        if !asked && !removed && !self.was_moved() {
            return Ok(false);
        }
        match open(&self.path) {
            Ok((file, identity, torn)) => {
                (self.file, self.identity, self.torn) = (file, identity, torn);
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

/// Writes `lines`, on a line of their own where the output may end in the middle of one.
fn write_whole(file: &mut File, torn: bool, lines: &[u8]) -> io::Result<()> {
    if torn && !lines.is_empty() {
        file.write_all(b"\n")?;
    }
    file.write_all(lines)
}

/// The file, what identifies it, and whether it ends in the middle of a line.
fn open(path: &Path) -> io::Result<(File, (u64, u64), bool)> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        // A pipe without a reader is an error, and does not wait for one.
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().append(true).custom_flags(nonblocking).open(path)?;
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        let identity = identity(&file.metadata()?);
        return Ok((file, identity, false));
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    let mut last = [b'\n'];
    if metadata.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((file, identity(&metadata), last != [b'\n']))
}

fn identity(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
