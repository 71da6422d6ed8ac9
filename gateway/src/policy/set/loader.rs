//! Loads sets one after another, and compiles only modules that were not compiled for an earlier one.

use std::collections::BTreeMap;
use std::mem::take;
use std::path::Path;

use jiff::Timestamp;

use super::error::SetLimit;
use super::manifest::{self, Entry, ManifestError};
use super::reading::{Checked, Reading};
use super::{
    BoundModule, MANIFEST_BYTES, ModuleError, ModuleProblem, PolicySet, SetError, probe, read, refuse_unnamed,
};
use crate::policy::cache::AnswerCache;
use crate::policy::engine::Engine;
use crate::policy::rego::{Code, Module};

/// Compiled modules by the SHA-256 of their code.
type Codes = BTreeMap<String, Code>;

/// Loads sets. Keeps the compiled modules of the last good set and, if a later attempt failed, those of that attempt.
#[derive(Debug)]
pub(in crate::policy) struct Loader {
    engine: Engine,
    good: Codes,
    tried: Codes,
    compiled: usize,
    answer_cache_bytes: usize,
}

impl Loader {
    pub(in crate::policy) fn new(engine: Engine) -> Self {
        let (good, tried) = (Codes::new(), Codes::new());
        Self { engine, good, tried, compiled: 0, answer_cache_bytes: 0 }
    }

    /// The same, whose sets keep answers of at most `bytes`; else they keep none.
    pub(in crate::policy) fn with_answer_cache(self, bytes: usize) -> Self {
        Self { answer_cache_bytes: bytes, ..self }
    }

    /// How many modules the last load compiled.
    pub(in crate::policy) fn compiled(&self) -> usize {
        self.compiled
    }

    /// Reads, compiles and checks the set in `directory`. A set of too many bytes or of too high a cost is refused
    /// before anything is compiled.
    pub(in crate::policy) fn load(&mut self, directory: &Path) -> Result<PolicySet, SetError> {
        self.compiled = 0;
        let yaml = read(&directory.join(manifest::FILE), MANIFEST_BYTES)?;
        let yaml = String::from_utf8(yaml).map_err(|error| ManifestError::Yaml(error.to_string()))?;
        let entries = manifest::parse(&yaml)?;
        refuse_unnamed(directory, &entries)?;
        let mut reading = Reading::new(directory, &yaml);
        let mut problems = Vec::new();
        let mut checked = Vec::new();
        for entry in entries {
            let (name, file) = (entry.name.clone(), entry.file.clone());
            checked.extend(sorted_out(reading.read(entry), name, file, &mut problems)?);
        }
        let mut modules = Vec::new();
        let mut memory = 0;
        let before = take(&mut self.tried);
        for Checked { entry, data } in checked {
            let (name, file) = (entry.name.clone(), entry.file.clone());
            let code = self.code(&entry, reading.code(&file), &before);
            let module = code.and_then(|code| bind(&code, entry, &data, &mut memory));
            modules.extend(sorted_out(module, name, file, &mut problems)?);
        }
        if !problems.is_empty() {
            return Err(SetError::Modules(problems));
        }
        self.good = take(&mut self.tried);
        let (digest, loaded) = (reading.digest(), Timestamp::now());
        Ok(PolicySet { digest, loaded, modules, answers: AnswerCache::new(self.answer_cache_bytes) })
    }

    /// The compiled module of `entry`: compiled now, for another entry, for the last good set, or for a failed attempt
    /// `before`.
    fn code(&mut self, entry: &Entry, (sha256, wasm): (&str, &[u8]), before: &Codes) -> Result<Code, ModuleError> {
        let kept = [&self.tried, &self.good, before].into_iter().find_map(|codes| codes.get(sha256)).cloned();
        let code = if let Some(code) = kept {
            code
        } else {
            // Logged first, so that the log names the module if compiling it ends the process.
            tracing::info!(module = entry.name, file = entry.file, sha256, bytes = wasm.len(), "compiling");
            self.compiled += 1;
            Code::compile(&self.engine, wasm)?
        };
        self.tried.insert(sha256.to_owned(), code.clone());
        SetLimit::Code.check(self.tried.values().map(Code::bytes).sum())?;
        Ok(code)
    }
}

/// The value of a good `outcome`. A problem is added to `problems`, and ends the load if the whole set exceeds a limit.
fn sorted_out<T>(
    outcome: Result<T, ModuleError>,
    name: String,
    file: String,
    problems: &mut Vec<ModuleProblem>,
) -> Result<Option<T>, SetError> {
    let error = match outcome {
        Ok(good) => return Ok(Some(good)),
        Err(error) => error,
    };
    let whole = matches!(error, ModuleError::Set(_));
    problems.push(ModuleProblem { name, file, error });
    if whole { Err(SetError::Modules(take(problems))) } else { Ok(None) }
}

/// The module of `entry`, which gives verdicts. `memory` is how much the set's modules begin with.
fn bind(code: &Code, entry: Entry, data: &[u8], memory: &mut u64) -> Result<BoundModule, ModuleError> {
    let module = Module::of(code, entry.budget, data)?;
    *memory += module.initial_bytes() as u64;
    SetLimit::Memory.check(*memory)?;
    probe::ask(&module, &entry.matcher)?;
    let deadline = entry.budget.deadline;
    Ok(BoundModule { name: entry.name, sha256: entry.sha256, deadline, module, matcher: entry.matcher })
}
