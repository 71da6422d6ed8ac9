//! A directory of policies: `policies.yaml` and the modules that it names by their digests.

mod manifest;
mod matcher;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256, digest};
use jiff::Timestamp;
use thiserror::Error;

use self::manifest::Entry;
pub use self::manifest::ManifestError;
pub(super) use self::matcher::Matching;
use super::document::Input;
use super::engine::Engine;
use super::rego::{self, EvalError, LoadError};

/// The longest `policies.yaml` that is read, in bytes.
const MANIFEST_BYTES: u64 = 1 << 20;

/// The longest module that is read, in bytes.
const MODULE_BYTES: u64 = 32 << 20;

/// Why a directory holds no set of policies that can be used.
#[derive(Debug, Error)]
pub enum SetError {
    /// `policies.yaml` cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// `policies.yaml` is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Modules are wrong; all of them are told.
    #[error("{}", listed(.0))]
    Modules(Vec<ModuleProblem>),
}

impl SetError {
    /// Whether the next look may see something else although no file changes: half of an update was seen.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Manifest(_) => false,
            Self::Modules(problems) => problems.iter().any(|problem| problem.error.may_pass()),
        }
    }
}

fn listed(problems: &[ModuleProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What is wrong with one module.
#[derive(Debug, Error)]
#[error("module {name:?} ({file}): {error}")]
pub struct ModuleProblem {
    /// Its name in `policies.yaml`.
    pub name: String,
    /// Its file.
    pub file: String,
    /// What is wrong.
    #[source]
    pub error: ModuleError,
}

/// Why a module cannot be used.
#[derive(Debug, Error)]
pub enum ModuleError {
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its file is not the one that `policies.yaml` means.
    #[error("its sha256 is {found}, not {expected}")]
    Digest {
        /// In `policies.yaml`.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// It is no policy.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl ModuleError {
    /// A file may be half of an update, and a machine may have been too busy to keep a deadline.
    fn may_pass(&self) -> bool {
        match self {
            Self::Read(_) | Self::Digest { .. } => true,
            Self::Load(error) => matches!(error, LoadError::Start(EvalError::Deadline(_))),
        }
    }
}

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system says no.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is a directory, a device or a pipe.
    #[error("{path} is no regular file", path = .0.display())]
    Kind(PathBuf),
    /// It is too long.
    #[error("{path} is longer than {limit} bytes", path = .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// The digest of a set: SHA-256 over `policies.yaml` and the modules, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDigest(String);

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
        let yaml = read(&directory.join(manifest::FILE), MANIFEST_BYTES)?;
        let yaml = String::from_utf8(yaml).map_err(|error| ManifestError::Yaml(error.to_string()))?;
        let mut whole = Context::new(&SHA256);
        // The length keeps the end of one file from passing for the beginning of the next.
        whole.update(&(yaml.len() as u64).to_be_bytes());
        whole.update(yaml.as_bytes());
        let (mut modules, mut problems) = (Vec::new(), Vec::new());
        for entry in manifest::parse(&yaml)? {
            let (name, file) = (entry.name.clone(), entry.file.clone());
            match bind(engine, directory, entry, &mut whole) {
                Ok(module) => modules.push(module),
                Err(error) => problems.push(ModuleProblem { name, file, error }),
            }
        }
        if !problems.is_empty() {
            return Err(SetError::Modules(problems));
        }
        Ok(Self { digest: SetDigest(hex(whole.finish().as_ref())), loaded: Timestamp::now(), modules })
    }

    /// The set's digest.
    pub fn digest(&self) -> &SetDigest {
        &self.digest
    }

    /// When it was loaded.
    pub fn loaded(&self) -> Timestamp {
        self.loaded
    }

    pub(super) fn modules(&self) -> &[BoundModule] {
        &self.modules
    }
}

impl BoundModule {
    pub(super) fn matches(&self, input: &Input) -> Matching {
        self.matcher.matches(input)
    }
}

fn bind(engine: &Engine, directory: &Path, entry: Entry, whole: &mut Context) -> Result<BoundModule, ModuleError> {
    let wasm = read(&directory.join(&entry.file), MODULE_BYTES)?;
    whole.update(&(wasm.len() as u64).to_be_bytes());
    whole.update(&wasm);
    let found = hex(digest(&SHA256, &wasm).as_ref());
    if found != entry.sha256 {
        return Err(ModuleError::Digest { expected: entry.sha256, found });
    }
    let data = serde_json::json!({ "settings": entry.settings }).to_string().into_bytes();
    // Before, so that the log names the module if compiling it should end the process.
    tracing::info!(module = entry.name, file = entry.file, sha256 = found, bytes = wasm.len(), "compiling");
    let module = rego::Module::load(engine, &wasm, entry.budget, data)?;
    let deadline = entry.budget.deadline;
    Ok(BoundModule { name: entry.name, sha256: found, deadline, module, matcher: entry.matcher })
}

/// The names of the files that the set in `directory` is made of, as far as `policies.yaml` can be read.
pub(super) fn files(directory: &Path) -> BTreeSet<String> {
    let yaml = read(&directory.join(manifest::FILE), MANIFEST_BYTES).ok().and_then(|yaml| String::from_utf8(yaml).ok());
    let entries = yaml.and_then(|yaml| manifest::parse(&yaml).ok()).unwrap_or_default();
    entries.into_iter().map(|entry| entry.file).chain([manifest::FILE.to_owned()]).collect()
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
