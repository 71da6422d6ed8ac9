//! Arguments, file and environment become one validated [`Config`], or every error at once.
//!
//! Defaults give way to the file, the file to the environment (`SCALEGATE__SECTION__FIELD`, words joined by `_`), the
//! environment to flags. Lists in the environment are separated by commas. No other module reads the environment.

mod args;
mod reader;
mod sections;
mod sources;
mod validate;

use std::fmt;

pub use args::Args;
pub use sections::{Admin, Audit, ClientCa, Config, Drain, Kubernetes, Lease, Listen, Log, LogFormat, Policies, Tls};

use thiserror::Error;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field's path, such as `listen.idleTimeout`, or the file's.
    pub field: String,
    /// The value; `None` where there is none.
    pub value: Option<String>,
    /// Where the value came from: a file, a variable, a flag.
    pub origin: Option<String>,
    /// What is allowed.
    pub allowed: String,
}

impl Problem {
    /// A source that cannot be read at all.
    fn whole(source: &str, allowed: String) -> Self {
        Self { field: source.to_owned(), value: None, origin: None, allowed }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(value) = &self.value {
            write!(f, ": {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " (from {origin})")?;
        }
        write!(f, ": {}", self.allowed)
    }
}

/// Everything that is wrong with the configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<Problem>);

impl Config {
    /// The configuration of this process.
    pub fn load(args: &Args) -> Result<Self, ConfigErrors> {
        // A variable that is no UTF-8 is none of ours, whose names and values all are.
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::from_sources(args, environment.collect())
    }

    /// The configuration by `args` and the `environment`'s variables.
    fn from_sources(args: &Args, environment: Vec<(String, String)>) -> Result<Self, ConfigErrors> {
        let host = validate::Host::of(&environment);
        let tree = sources::merge(args, environment).map_err(|problem| ConfigErrors(vec![problem]))?;
        validate::config(tree, &host).map_err(ConfigErrors)
    }
}

#[cfg(test)]
mod tests;
