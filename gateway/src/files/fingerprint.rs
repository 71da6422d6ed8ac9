//! Whether files have changed, without reading them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Some files as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, Option<Mark>>);

/// A file as it was. The path without links changes when the kubelet points `..data` to another directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Fingerprint {
    /// Of these files, whether or not they are there.
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
        Some(Self { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino(), path })
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
}
