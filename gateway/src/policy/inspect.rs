//! What a loaded set is made of, for authors of policies.

use serde::Serialize;

use super::set::{BoundModule, PolicySet};

/// A set of policies.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection<'a> {
    /// SHA-256 over `policies.yaml` and the files that it names, lower-case hexadecimal.
    pub digest: &'a str,
    /// Its modules, in their order.
    pub modules: Vec<InspectedModule<'a>>,
}

/// One module.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedModule<'a> {
    /// Its name in `policies.yaml`.
    pub name: &'a str,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: &'a str,
    /// The builtins that it calls in the gateway, by name.
    pub host_builtins: Vec<&'static str>,
    /// The bytes of machine code that it was compiled to.
    pub code_bytes: u64,
    /// The bytes of memory that each evaluation begins with: the module's own, its settings and its data.
    pub initial_memory_bytes: usize,
    /// `budget.deadline` in milliseconds.
    pub deadline_millis: u128,
    /// `budget.memoryBytes`.
    pub most_memory_bytes: usize,
    /// `budget.outputBytes`.
    pub most_output_bytes: usize,
}

/// Describes `set`.
pub fn inspect(set: &PolicySet) -> Inspection<'_> {
    Inspection { digest: set.digest().as_str(), modules: set.modules().iter().map(describe).collect() }
}

fn describe(bound: &BoundModule) -> InspectedModule<'_> {
    let (module, budget) = (&bound.module, bound.module.budget());
    let mut host_builtins: Vec<_> = module.host_builtins().collect();
    host_builtins.sort_unstable();
    InspectedModule {
        name: &bound.name,
        sha256: &bound.sha256,
        host_builtins,
        code_bytes: module.code_bytes(),
        initial_memory_bytes: module.initial_bytes(),
        deadline_millis: budget.deadline.as_millis(),
        most_memory_bytes: budget.memory_bytes,
        most_output_bytes: budget.output_bytes,
    }
}
