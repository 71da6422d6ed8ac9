//! `policies.yaml`: which modules decide about what.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::matcher::{Matcher, NamespacePattern};
use crate::dns;
use crate::policy::budget::{Budget, MOST_DEADLINE, MOST_MEMORY_BYTES, MOST_OUTPUT_BYTES};
use crate::policy::document::Action;

/// The file's name in a directory of policies.
pub(super) const FILE: &str = "policies.yaml";

/// How many entries a set may have: each is matched against every request, and evaluated when the set is loaded.
const MODULES: usize = 256;

/// Why `policies.yaml` cannot be used.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// It is not YAML, or does not have the expected fields.
    #[error("policies.yaml: {0}")]
    Yaml(String),
    /// It has no modules.
    #[error("policies.yaml: a set without modules would deny everything")]
    Empty,
    /// It has too many entries.
    #[error(
        "policies.yaml: module {name:?} is one too many of {found}: {MODULES} at most; bind one module to several namespaces by its `match`, or put what differs into its `data`"
    )]
    TooMany {
        /// How many it has.
        found: usize,
        /// The name of the first one beyond the limit.
        name: String,
    },
    /// Values are invalid; all of them are listed.
    #[error("policies.yaml: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// One checked entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// The module's file name within the directory.
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) data: Option<DataFile>,
    pub(super) matcher: Matcher,
    pub(super) settings: serde_json::Map<String, serde_json::Value>,
    pub(super) budget: Budget,
}

/// The file with a module's data.
#[derive(Debug)]
pub(super) struct DataFile {
    /// Its name within the directory.
    pub(super) file: String,
    pub(super) sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    modules: Vec<RawModule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawModule {
    name: String,
    module: String,
    sha256: String,
    data: Option<String>,
    data_sha256: Option<String>,
    #[serde(default, rename = "match")]
    matching: RawMatch,
    mode: String,
    #[serde(default)]
    settings: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    budget: RawBudget,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawMatch {
    actions: Option<Vec<Action>>,
    namespaces: Option<Vec<String>>,
    namespace_labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBudget {
    deadline: Option<String>,
    memory_bytes: Option<u64>,
    output_bytes: Option<u64>,
}

/// Parses and checks the whole file. All invalid values of all modules are reported together.
pub(super) fn parse(yaml: &str) -> Result<Vec<Entry>, ManifestError> {
    let raw: RawManifest = serde_saphyr::from_str(yaml).map_err(|error| ManifestError::Yaml(error.to_string()))?;
    if raw.modules.is_empty() {
        return Err(ManifestError::Empty);
    }
    if let Some(module) = raw.modules.get(MODULES) {
        return Err(ManifestError::TooMany { found: raw.modules.len(), name: module.name.clone() });
    }
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    let mut entries = Vec::new();
    for module in raw.modules {
        if !names.insert(module.name.clone()) {
            problems.push(format!("the name {:?} is taken twice", module.name));
        }
        entries.push(check(module, &mut problems));
    }
    if problems.is_empty() { Ok(entries) } else { Err(ManifestError::Invalid(problems)) }
}

/// The entry, which is usable only if no problem was added.
fn check(raw: RawModule, problems: &mut Vec<String>) -> Entry {
    let mut problem = |field: &str, text: String| problems.push(format!("module {:?}: {field} {text}", raw.name));
    if !dns::is_label(&raw.name) {
        problem("name", "must be a DNS label: 1 to 63 of a-z, 0-9 and -, no - at its ends".to_owned());
    }
    if !is_plain_file_name(&raw.module) {
        problem("module", format!("must be the name of a file in the directory, not {:?}", raw.module));
    }
    let sha256 = check_digest("sha256", &raw.sha256, &mut problem);
    let data = check_data(raw.data, raw.data_sha256, &mut problem);
    match raw.mode.as_str() {
        "enforce" => {}
        "shadow" => problem("mode", "must be enforce: shadow is not supported yet".to_owned()),
        other => problem("mode", format!("must be enforce, not {other:?}")),
    }
    let matcher = check_match(raw.matching, &mut problem);
    let budget = check_budget(&raw.budget, &mut problem);
    Entry { name: raw.name, file: raw.module, sha256, data, matcher, settings: raw.settings, budget }
}

fn check_digest(field: &str, digest: &str, problem: &mut impl FnMut(&str, String)) -> String {
    if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        problem(field, "must be 64 hexadecimal digits".to_owned());
    }
    digest.to_ascii_lowercase()
}

fn check_data(
    file: Option<String>,
    sha256: Option<String>,
    problem: &mut impl FnMut(&str, String),
) -> Option<DataFile> {
    match (file, sha256) {
        (None, None) => None,
        (None, Some(_)) => {
            problem("dataSha256", "is there without data: name the file, such as data: data.json".to_owned());
            None
        }
        (Some(file), None) => {
            problem("data", format!("{file:?} is there without dataSha256: add the file's SHA-256"));
            None
        }
        (Some(file), Some(sha256)) => {
            // A .json file that no entry names makes the set unusable, so a forgotten one is never silently ignored.
            if !is_plain_file_name(&file) || !is_data_file(&file) {
                problem("data", format!("must be the name of a .json file in the directory, not {file:?}"));
            }
            let sha256 = check_digest("dataSha256", &sha256, problem);
            Some(DataFile { file, sha256 })
        }
    }
}

fn check_match(raw: RawMatch, problem: &mut impl FnMut(&str, String)) -> Matcher {
    if raw.actions.as_ref().is_some_and(Vec::is_empty) {
        problem("match.actions", "must name one or be absent, which is all of them".to_owned());
    }
    if raw.namespaces.as_ref().is_some_and(Vec::is_empty) {
        problem("match.namespaces", "must name one or be absent, which is all of them".to_owned());
    }
    let namespaces = raw.namespaces.map(|patterns| {
        let mut parsed = Vec::new();
        for pattern in patterns {
            match NamespacePattern::parse(&pattern) {
                Some(pattern) => parsed.push(pattern),
                None => problem("match.namespaces", format!("has {pattern:?}; write a name, team-*, or *")),
            }
        }
        parsed
    });
    Matcher { actions: raw.actions, namespaces, namespace_labels: raw.namespace_labels.unwrap_or_default() }
}

fn check_budget(raw: &RawBudget, problem: &mut impl FnMut(&str, String)) -> Budget {
    let default = Budget::default();
    let deadline = match raw.deadline.as_deref().map(humantime::parse_duration) {
        None => default.deadline,
        Some(Ok(deadline)) if (Duration::from_millis(1)..=MOST_DEADLINE).contains(&deadline) => deadline,
        Some(_) => {
            problem("budget.deadline", "must be a time from 1ms to 1s, such as 5ms".to_owned());
            default.deadline
        }
    };
    let mut bytes = |field: &str, value: Option<u64>, default: usize, least: usize, most: usize| match value {
        None => default,
        Some(value) => match usize::try_from(value) {
            Ok(value) if (least..=most).contains(&value) => value,
            _ => {
                problem(field, format!("must be from {least} to {most}"));
                default
            }
        },
    };
    let memory_bytes = bytes("budget.memoryBytes", raw.memory_bytes, default.memory_bytes, 1 << 20, MOST_MEMORY_BYTES);
    let output_bytes = bytes("budget.outputBytes", raw.output_bytes, default.output_bytes, 1, MOST_OUTPUT_BYTES);
    Budget { deadline, memory_bytes, output_bytes }
}

/// Whether a file of this name is a data file.
pub(super) fn is_data_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

fn is_plain_file_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 255 && !text.starts_with('.') && !text.contains(['/', '\\', '\0'])
}
