//! A directory of policies: `policies.yaml` and the files that it names by their digests, modules and their data.

mod data;
mod manifest;
mod matcher;
mod probe;
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

pub use self::data::DataError;
pub use self::manifest::ManifestError;
use self::manifest::{DataFile, Entry};
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
    /// Files with data lie in the directory that no module would see.
    #[error("{}", unnamed(.0))]
    Unnamed(BTreeSet<String>),
}

impl SetError {
    /// Whether the next look may see something else although no file changes: half of an update was seen.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Manifest(_) | Self::Unnamed(_) => false,
            Self::Modules(problems) => problems.iter().any(|problem| problem.error.may_pass()),
        }
    }
}

/// The problems in one line; in further lines the answers that are no verdicts, which only those may see who may read
/// settings.
fn listed(problems: &[ModuleProblem]) -> String {
    let mut text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    for problem in problems {
        if let ModuleError::Probe { action, cause: EvalError::Malformed { answer, .. } } = &problem.error {
            text.push_str(&format!("\nmodule {:?} answered {action} with: {answer}", problem.name));
        }
    }
    text
}

fn unnamed(files: &BTreeSet<String>) -> String {
    let problem = |file| {
        format!(
            "{file} is in the directory, but policies.yaml does not name it, so no module would see it: give the module that reads it `data: {file}` and `dataSha256: …`, its SHA-256, or take it away"
        )
    };
    files.iter().map(problem).collect::<Vec<_>>().join("; ")
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
    /// Its data file is not the one that `policies.yaml` means.
    #[error("its data: the sha256 of {file} is {found}, not {expected}")]
    DataDigest {
        /// The file.
        file: String,
        /// In `policies.yaml`.
        expected: String,
        /// Of the file.
        found: String,
    },
    /// Its data file cannot be used.
    #[error("its data: {file}: {problem}")]
    Data {
        /// The file.
        file: String,
        /// What is wrong with it.
        #[source]
        problem: DataError,
    },
    /// It gave no verdict on one of the questions that the gateway asks before it serves.
    #[error("asked about {action}, {cause}{}", advice(cause))]
    Probe {
        /// The action.
        action: &'static str,
        /// What came instead of a verdict.
        #[source]
        cause: EvalError,
    },
}

/// What to do about a module that gave no verdict, where that is the module's own doing.
fn advice(cause: &EvalError) -> &'static str {
    match cause {
        EvalError::Undefined => {
            "; a verdict must come for every question: give the rule a default, such as default verdict := {\"allow\": false, \"reasons\": [\"why\"]}, or leave actions that it does not decide out of match.actions"
        }
        EvalError::Malformed { .. } => {
            "; a verdict is {\"allow\": true or false, \"reasons\": [texts]}, with maxSeconds (a whole number) and tags (an object of texts) if need be"
        }
        EvalError::Deadline(_) => "; give it a greater budget.deadline, or less to do",
        EvalError::Memory(_) => "; give it a greater budget.memoryBytes, or less to do",
        EvalError::Output(_) => "; give it a greater budget.outputBytes, or let it say less",
        _ => "",
    }
}

impl ModuleError {
    /// A file may be half of an update, and a machine may have been too busy to keep a deadline.
    fn may_pass(&self) -> bool {
        match self {
            Self::Read(_) | Self::Digest { .. } | Self::DataDigest { .. } => true,
            Self::Load(error) => matches!(error, LoadError::Start(EvalError::Deadline(_))),
            Self::Probe { cause, .. } => matches!(cause, EvalError::Deadline(_)),
            Self::Data { .. } => false,
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

/// The digest of a set: SHA-256 over `policies.yaml` and the modules, each followed by its data, in their order.
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
        add(&mut whole, yaml.as_bytes());
        let (mut modules, mut problems) = (Vec::new(), Vec::new());
        let entries = manifest::parse(&yaml)?;
        refuse_unnamed(directory, &entries)?;
        for entry in entries {
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
    let found = add(whole, &wasm);
    if found != entry.sha256 {
        return Err(ModuleError::Digest { expected: entry.sha256, found });
    }
    let data = data(directory, &entry, whole)?;
    // Before, so that the log names the module if compiling it should end the process.
    tracing::info!(module = entry.name, file = entry.file, sha256 = found, bytes = wasm.len(), "compiling");
    let module = rego::Module::load(engine, &wasm, entry.budget, data)?;
    probe::ask(&module, &entry.matcher)?;
    let deadline = entry.budget.deadline;
    Ok(BoundModule { name: entry.name, sha256: found, deadline, module, matcher: entry.matcher })
}

/// The document that the module of `entry` sees as `data`.
fn data(directory: &Path, entry: &Entry, whole: &mut Context) -> Result<Vec<u8>, ModuleError> {
    let text = entry.data.as_ref().map(|file| read_data(directory, file, whole)).transpose()?;
    data::document(&entry.settings, text.as_deref()).map_err(|problem| {
        let file = entry.data.as_ref().map(|data| data.file.clone()).unwrap_or_default();
        ModuleError::Data { file, problem }
    })
}

fn read_data(directory: &Path, data: &DataFile, whole: &mut Context) -> Result<Vec<u8>, ModuleError> {
    let text = read(&directory.join(&data.file), data::BYTES)?;
    let found = add(whole, &text);
    if found != data.sha256 {
        return Err(ModuleError::DataDigest { file: data.file.clone(), expected: data.sha256.clone(), found });
    }
    Ok(text)
}

/// Adds a file to the digest of the set; the digest of the file. The length keeps the end of one file from passing for
/// the beginning of the next.
fn add(whole: &mut Context, bytes: &[u8]) -> String {
    whole.update(&(bytes.len() as u64).to_be_bytes());
    whole.update(bytes);
    hex(digest(&SHA256, bytes).as_ref())
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
    let named = entries.into_iter().flat_map(|entry| [Some(entry.file), entry.data.map(|data| data.file)]);
    let names = named.flatten().chain([manifest::FILE.to_owned()]);
    names.map(|name| directory.join(name)).chain([directory.to_owned()]).collect()
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
