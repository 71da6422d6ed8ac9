//! Why a set of policies cannot be used.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{BundleError, DataError, ManifestError};
use crate::policy::budget::{MOST_DEADLINE, MOST_MEMORY_BYTES, MOST_OUTPUT_BYTES};
use crate::policy::rego::{EvalError, LoadError};

/// Why the set of policies in a directory cannot be used.
#[derive(Debug, Error)]
pub enum SetError {
    /// `policies.yaml` cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// `policies.yaml` is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Modules cannot be used; all of them are listed, unless the set exceeds a limit.
    #[error("{}", listed(.0))]
    Modules(Vec<ModuleProblem>),
    /// The directory has data files that no module would see.
    #[error("{}", unnamed(.0))]
    Unnamed(BTreeSet<String>),
}

impl SetError {
    /// Whether the next attempt may succeed although no file changes: half of an update was read, or a deadline missed.
    pub(in crate::policy) fn may_pass(&self) -> bool {
        match self {
            Self::Read(_) => true,
            Self::Manifest(_) | Self::Unnamed(_) => false,
            Self::Modules(problems) => problems.iter().any(|problem| problem.error.may_pass()),
        }
    }
}

/// The problems on one line, then one line for each invalid answer. Answers may contain settings: show them only to
/// people who may read the settings.
fn listed(problems: &[ModuleProblem]) -> String {
    let answer = |problem: &ModuleProblem| match &problem.error {
        ModuleError::Probe { action, cause: EvalError::Malformed { answer, .. } } => {
            Some(format!("module {:?} answered {action} with: {answer}", problem.name))
        }
        _ => None,
    };
    let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    [told].into_iter().chain(problems.iter().filter_map(answer)).collect::<Vec<_>>().join("\n")
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
    /// It is a bundle that cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// With it, the set is beyond what a gateway loads.
    #[error(transparent)]
    Set(#[from] SetLimit),
    /// It is no policy.
    #[error("{}{}", .0, advice_at_load(.0))]
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

/// A limit on what a whole set may cost; a module counts once, however many entries name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SetLimit {
    /// The bytes that are read.
    #[error(
        "with it, the modules of the set and their data and settings have more than {} bytes: share a module between entries, or make its tables smaller",
        self.most()
    )]
    Bytes,
    /// What compiling costs.
    #[error(
        "with it, the set is too much to compile ({} at most, as the gateway counts it): share a module between entries, or divide the namespaces among gateways",
        self.most()
    )]
    Cost,
    /// The bytes of compiled code.
    #[error(
        "with it, the compiled code of the set has more than {} bytes: share a module between entries, or divide the namespaces among gateways",
        self.most()
    )]
    Code,
    /// The bytes of memory that evaluations begin with.
    #[error(
        "with it, the memory that the modules of the set begin with has more than {} bytes: make their settings and data smaller, or divide the namespaces among gateways",
        self.most()
    )]
    Memory,
}

impl SetLimit {
    /// The greatest value within the limit.
    pub(super) const fn most(self) -> u64 {
        match self {
            Self::Bytes => 64 << 20,
            // About fifty modules as OPA compiles them.
            Self::Cost => 40_000_000,
            Self::Code => 256 << 20,
            // The engine keeps it twice.
            Self::Memory => 128 << 20,
        }
    }

    /// Whether `value` is within the limit.
    pub(super) fn check(self, value: u64) -> Result<(), Self> {
        if value > self.most() { Err(self) } else { Ok(()) }
    }
}

/// What to do about a module that gave no verdict, if its author can fix it.
fn advice(cause: &EvalError) -> &'static str {
    match cause {
        EvalError::Undefined => {
            "; a verdict must come for every question: give the rule a default, such as default verdict := {\"allow\": false, \"reasons\": [\"why\"]}, or leave actions that it does not decide out of match.actions"
        }
        EvalError::Malformed { .. } => {
            "; a verdict is {\"allow\": true or false, \"reasons\": [texts]}, with tags (an object of texts) if need be"
        }
        EvalError::Deadline(allowed) if *allowed < MOST_DEADLINE => {
            "; give it a greater budget.deadline, or less to do"
        }
        EvalError::Memory(allowed) if *allowed < MOST_MEMORY_BYTES => {
            "; give it a greater budget.memoryBytes, or less to do"
        }
        EvalError::Deadline(_) | EvalError::Memory(_) => {
            "; that is the most that a budget may have: give it less to do"
        }
        EvalError::Output(allowed) if *allowed < MOST_OUTPUT_BYTES => {
            "; give it a greater budget.outputBytes, or let it say less"
        }
        EvalError::Output(_) => "; that is the most that a budget may have: let it say less",
        _ => "",
    }
}

/// What to do about a module that cannot be loaded within its budget.
fn advice_at_load(error: &LoadError) -> &'static str {
    match error {
        LoadError::Start(cause) => advice(cause),
        LoadError::ReadData(EvalError::Memory(allowed)) if *allowed < MOST_MEMORY_BYTES => {
            "; give it a greater budget.memoryBytes, or make them smaller"
        }
        LoadError::ReadData(EvalError::Deadline(_) | EvalError::Memory(_)) => "; make them smaller",
        _ => "",
    }
}

impl ModuleError {
    /// Whether another attempt may succeed: a file may be half of an update, and a deadline may be missed by chance.
    fn may_pass(&self) -> bool {
        match self {
            Self::Read(_) | Self::Digest { .. } | Self::DataDigest { .. } => true,
            Self::Load(error) => {
                matches!(error, LoadError::Start(EvalError::Deadline(_)) | LoadError::ReadData(EvalError::Deadline(_)))
            }
            Self::Probe { cause, .. } => matches!(cause, EvalError::Deadline(_)),
            Self::Data { .. } | Self::Bundle(_) | Self::Set(_) => false,
        }
    }
}

/// Why a file cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The operating system reports an error.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
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
