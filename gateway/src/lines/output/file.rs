//! A file that lines are appended to, and what happens to it meanwhile.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::write_whole;

/// How often to check whether the file was moved.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::lines) struct OpenFile {
    file: File,
    /// Device and inode.
    identity: (u64, u64),
    looked: Instant,
    /// The bytes of a regular file after the last write: one with fewer was truncated. `None` for anything else.
    length: Option<u64>,
    /// It was truncated during the last write.
    truncated: bool,
    /// It may end in the middle of a line: it did when it was opened, or the last write failed.
    torn: bool,
}

impl OpenFile {
    /// Opens what is there for appending, or creates a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path).map(|metadata| metadata.file_type()) {
            Ok(kind) if kind.is_fifo() || kind.is_char_device() => Self::stream(path),
            Ok(kind) if !kind.is_file() => Err(io::Error::new(io::ErrorKind::InvalidInput, unusable(kind))),
            _ => Self::regular(path),
        }
    }

    /// Opens a named pipe or a character device.
    fn stream(path: &Path) -> io::Result<Self> {
        // A pipe without a reader is an error, and does not wait for one.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let file = OpenOptions::new().append(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        let identity = identity(&file.metadata()?);
        Ok(Self { file, identity, looked: Instant::now(), length: None, truncated: false, torn: false })
    }

    fn regular(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let file = options.create(true).read(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        let mut this = Self {
            file,
            identity: identity(&metadata),
            looked: Instant::now(),
            length: Some(metadata.len()),
            truncated: false,
            torn: false,
        };
        this.torn = this.ends_torn(metadata.len())?;
        Ok(this)
    }

    /// Returns whether the file, `length` bytes long, ends in the middle of a line.
    fn ends_torn(&mut self, length: u64) -> io::Result<bool> {
        let mut last = [b'\n'];
        if length > 0 {
            self.file.seek(SeekFrom::End(-1))?;
            self.file.read_exact(&mut last)?;
        }
        Ok(last != [b'\n'])
    }

    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = write_whole(&mut self.file, self.torn, lines);
        self.torn = written.is_err();
        if let Some(before) = self.length {
            let now = self.file.metadata()?.len();
            self.truncated = written.is_ok() && now < before + lines.len() as u64;
            self.length = Some(now);
        }
        written
    }

    /// Returns whether no path leads to it any more.
    pub(super) fn is_removed(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Returns whether the path leads elsewhere; checks once a second.
    pub(super) fn was_moved(&mut self, path: &Path) -> bool {
        if self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        !fs::symlink_metadata(path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }

    /// Returns whether the file was truncated in place since this was last asked, so that earlier lines are gone.
    pub(super) fn was_truncated(&mut self) -> io::Result<bool> {
        let Some(before) = self.length else { return Ok(false) };
        let now = self.file.metadata()?.len();
        if now < before {
            self.truncated = true;
            self.torn = self.ends_torn(now)?;
        }
        self.length = Some(now);
        Ok(std::mem::take(&mut self.truncated))
    }
}

/// Why something of this kind cannot be appended to.
fn unusable(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "it is a symbolic link; name the file itself"
    } else if kind.is_dir() {
        "it is a directory; name a file in it"
    } else {
        "it is no file, named pipe or character device"
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
