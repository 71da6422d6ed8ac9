//! Whether files have changed, without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Some files as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, Option<Mark>>);

/// A file or a directory as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// The path without links changes when the kubelet points `..data` to another directory.
    File { path: PathBuf, length: u64, modified: Option<SystemTime>, inode: u64 },
    /// The names in it without the hidden ones, under which files are prepared.
    Directory(BTreeSet<OsString>),
}

impl Fingerprint {
    /// Of these files, whether or not they are there; of a directory, which names are in it.
    pub(crate) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), Mark::of(&file))).collect())
    }

    /// Of the same files, now.
    pub(crate) fn again(&self) -> Self {
        Self::of(self.0.keys().cloned())
    }
}

impl Mark {
    fn of(path: &Path) -> Option<Self> {
        let path = path.canonicalize().ok()?;
        let metadata = path.metadata().ok()?;
        if metadata.is_dir() {
            let names = path.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.file_name()));
            let hidden = |name: &OsString| name.as_encoded_bytes().starts_with(b".");
            return Some(Self::Directory(names.filter(|name| !hidden(name)).collect()));
        }
        Some(Self::File { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino(), path })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn it_changes_with_the_content_the_target_of_a_link_and_the_presence_of_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("file"), "same").unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/file", path("file")).unwrap();
        let files = || [path("file"), path("absent")];
        let first = Fingerprint::of(files());
        assert_eq!(first.again(), first);

        symlink("..2", path("..new")).unwrap();
        fs::rename(path("..new"), path("..data")).unwrap();
        let swapped = first.again();
        assert_ne!(swapped, first);

        fs::write(path("file"), "another").unwrap();
        let written = first.again();
        assert_ne!(written, swapped);

        fs::write(path("absent"), "").unwrap();
        assert_ne!(first.again(), written);
        assert_eq!(first.again(), Fingerprint::of(files()));
    }

    #[test]
    fn a_directory_changes_with_the_names_in_it_and_not_with_hidden_ones() {
        let directory = tempfile::tempdir().unwrap();
        let first = Fingerprint::of([directory.path().to_owned()]);
        fs::write(directory.path().join(".new"), "").unwrap();
        assert_eq!(first.again(), first);
        fs::rename(directory.path().join(".new"), directory.path().join("file")).unwrap();
        let named = first.again();
        assert_ne!(named, first);
        fs::write(directory.path().join("file"), "another").unwrap();
        assert_eq!(first.again(), named);
    }
}
