//! Arguments, file and environment become one validated [`Config`], or every error at once.
//!
//! Defaults give way to the file, the file to the environment (`SCALEGATE__SECTION__FIELD`, the words of a field joined by
//! `_`: `SCALEGATE__AUDIT__WHEN_FULL`), the environment to flags. Lists in the environment are separated by commas. No
//! other module reads the environment.

mod args;
mod environment;
mod reader;
mod sections;
mod sources;
mod validate;

use std::fmt;

pub use args::Args;
pub use sections::{
    Admin, Audit, ClientCa, Config, Drain, Kubernetes, Lease, Listen, Log, LogFormat, Policies, Tls, Traces,
};

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
        let (mut environment, mut problems) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => environment.push((name, value)),
                (Ok(name), Err(_)) if name.starts_with(environment::PREFIX) => {
                    problems.push(Problem::whole(&name, "is not UTF-8 text".to_owned()));
                }
                // None of the gateway's, whose names are ASCII.
                _ => {}
            }
        }
        if problems.is_empty() { Self::from_sources(args, environment) } else { Err(ConfigErrors(problems)) }
    }

    /// The configuration by `args` and the `environment`'s variables.
    fn from_sources(args: &Args, environment: Vec<(String, String)>) -> Result<Self, ConfigErrors> {
        let host = validate::Host::of(&environment);
        let (variables, mut problems) = environment::variables(environment, &validate::fields(&host));
        let tree = sources::merge(args, variables).map_err(|problem| ConfigErrors(vec![problem]))?;
        match validate::config(tree, &host) {
            Ok(config) if problems.is_empty() => Ok(config),
            Ok(_) => Err(ConfigErrors(problems)),
            Err(others) => {
                problems.extend(others);
                Err(ConfigErrors(problems))
            }
        }
    }
}

#[cfg(test)]
mod tests;
