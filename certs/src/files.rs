//! Files that are whole or absent, and private from their first moment where they must be.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How the name of a file begins while it is being written.
const TEMPORARY_PREFIX: &str = ".certs-";

/// A file could not be read or written.
#[derive(Debug, Error)]
#[error("cannot read or write {}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub source: io::Error,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// Its owner alone, mode 0600.
    Private,
    /// Anyone, mode 0644.
    Public,
}

/// Makes a file hold `content`, at once: a reader sees the old one or the new one. Missing directories are made.
pub fn write(path: &Path, content: &str, secrecy: Secrecy) -> Result<(), FileError> {
    write_at_once(path, content, secrecy).map_err(|source| FileError { path: path.to_owned(), source })
}

fn write_at_once(path: &Path, content: &str, secrecy: Secrecy) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    // Mode 0600 from its creation on.
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(directory)?;
    file.write_all(content.as_bytes())?;
    if secrecy == Secrecy::Public {
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The content of a file; `None` where there is no such file.
pub fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read(path) {
        // What is no text is no PEM either: it is found unreadable where it is parsed.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError { path: path.to_owned(), source }),
    }
}

/// Takes a key file from those who have no business with it, as after an unpacked archive.
pub fn keep_private(path: &Path) -> Result<(), FileError> {
    let wrap = |source| FileError { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(wrap)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(wrap)?;
    }
    Ok(())
}

/// Removes what interrupted writes have left in a directory.
pub fn sweep(directory: &Path) -> Result<(), FileError> {
    let wrap = |source| FileError { path: directory.to_owned(), source };
    for entry in fs::read_dir(directory).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_file(entry.path()).map_err(wrap)?;
        }
    }
    Ok(())
}
