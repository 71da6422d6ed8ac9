//! A directory of policies: `policies.yaml` and the files that it names by their digests, modules and their data.

mod bundle;
mod data;
mod error;
mod loader;
mod manifest;
mod matcher;
mod probe;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use jiff::Timestamp;

pub use self::bundle::BundleError;
pub use self::data::DataError;
pub use self::error::{ModuleError, ModuleProblem, ReadError, SetError, SetLimit};
pub(super) use self::loader::Loader;
use self::manifest::Entry;
pub use self::manifest::ManifestError;
pub(super) use self::matcher::Matching;
use super::cache::AnswerCache;
use super::document::Input;
use super::engine::Engine;
use super::rego;
use crate::hex;

/// The longest `policies.yaml` that is read, in bytes.
const MANIFEST_BYTES: u64 = 1 << 20;

/// The longest module that is read, in bytes.
const MODULE_BYTES: u64 = 32 << 20;

/// The digest of a set: SHA-256 over `policies.yaml` and the modules, each followed by its data, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDigest(String);

impl SetDigest {
    /// Lower-case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The modules that decide, compiled and checked.
#[derive(Debug)]
pub struct PolicySet {
    digest: SetDigest,
    loaded: Timestamp,
    modules: Vec<BoundModule>,
    answers: AnswerCache,
}

/// A module, bound to what it decides about.
#[derive(Debug)]
pub(super) struct BoundModule {
    pub(super) name: String,
    pub(super) sha256: String,
    pub(super) deadline: Duration,
    pub(super) module: rego::Module,
    matcher: matcher::Matcher,
}

impl PolicySet {
    /// Reads, compiles and checks the set in `directory`. It takes some hundred milliseconds a module: call it off the
    /// request path.
    pub fn load(engine: &Engine, directory: &Path) -> Result<Self, SetError> {
        Loader::new(engine.clone()).load(directory)
    }

    /// The set's digest.
    pub fn digest(&self) -> &SetDigest {
        &self.digest
    }

    /// When it was loaded.
    pub fn loaded(&self) -> Timestamp {
        self.loaded
    }

    /// The answers that it gave and may give again.
    pub(super) fn answers(&self) -> &AnswerCache {
        &self.answers
    }

    pub(super) fn modules(&self) -> &[BoundModule] {
        &self.modules
    }
}

impl BoundModule {
    pub(super) fn matches(&self, input: &Input) -> Matching {
        self.matcher.matches(input)
    }

    /// The questions that it was asked when it was loaded.
    pub(super) fn probes(&self) -> impl Iterator<Item = Input> {
        probe::questions(&self.matcher)
    }
}

/// Adds a file to the digest of the set; the digest of the file. The length keeps the end of one file from passing for
/// the beginning of the next.
fn add(whole: &mut Context, bytes: &[u8]) -> String {
    whole.update(&(bytes.len() as u64).to_be_bytes());
    whole.update(bytes);
    hex::encode(digest(&SHA256, bytes))
}

/// A data file that is forgotten in `policies.yaml` would be missing in silence: rules find nothing where it should be,
/// and what they forbid by it would be allowed.
fn refuse_unnamed(directory: &Path, entries: &[Entry]) -> Result<(), SetError> {
    let io = |source| ReadError::Io { path: directory.to_owned(), source };
    let mut unnamed = BTreeSet::new();
    for file in directory.read_dir().map_err(io)? {
        let name = file.map_err(io)?.file_name().to_string_lossy().into_owned();
        let named = |entry: &Entry| entry.file == name || entry.data.as_ref().is_some_and(|data| data.file == name);
        if !name.starts_with('.') && manifest::is_data_file(&name) && !entries.iter().any(named) {
            unnamed.insert(name);
        }
    }
    if unnamed.is_empty() { Ok(()) } else { Err(SetError::Unnamed(unnamed)) }
}

/// The paths of what the set in `directory` is made of, as far as `policies.yaml` can be read: its files, and the
/// directory itself, since a new file may be one with data.
pub(super) fn files(directory: &Path) -> Vec<PathBuf> {
    let yaml = read(&directory.join(manifest::FILE), MANIFEST_BYTES).ok().and_then(|yaml| String::from_utf8(yaml).ok());
    let entries = yaml.and_then(|yaml| manifest::parse(&yaml).ok()).unwrap_or_default();
    let files = entries.into_iter().flat_map(|entry| [Some(entry.file), entry.data.map(|data| data.file)]);
    let files = files.flatten().chain([manifest::FILE.to_owned()]);
    files.map(|name| directory.join(name)).chain([directory.to_owned()]).collect()
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    // To open a pipe would wait for its writer.
    if !path.metadata().map_err(io)?.is_file() {
        return Err(ReadError::Kind(path.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLong { path: path.to_owned(), limit });
    }
    Ok(bytes)
}
