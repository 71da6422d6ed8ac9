//! The key of redaction.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use thiserror::Error;

/// The shortest key, in bytes: one that is shorter could be guessed.
const LEAST: usize = 16;
/// The longest key, in bytes: a longer file is no key.
const MOST: usize = 4096;

/// The key of redaction: HMAC-SHA256.
pub struct RedactKey(pub(super) hmac::Key);

/// Why a file holds no key.
#[derive(Debug, Error)]
pub enum RedactKeyError {
    /// It cannot be read.
    #[error("audit.redactKeyFile: cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It is too short or too long.
    #[error("audit.redactKeyFile: {0} must have {LEAST} to {MOST} bytes, at random")]
    Length(PathBuf),
}

impl RedactKey {
    /// Reads the key: the bytes of the file as they are, a newline at the end included.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or has fewer than 16 or more than 4096 bytes.
    pub fn read(path: &Path) -> Result<Self, RedactKeyError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MOST as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|error| RedactKeyError::Read(path.to_owned(), error))?;
        Self::new(&bytes).ok_or_else(|| RedactKeyError::Length(path.to_owned()))
    }

    /// The key of these bytes, if they are neither too few nor too many.
    pub(in crate::audit) fn new(bytes: &[u8]) -> Option<Self> {
        (LEAST..=MOST).contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
}

impl fmt::Debug for RedactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactKey")
    }
}
