//! The command line.

mod client;
mod dev_certs;
mod input;
mod leading;
mod output;
mod policy;
mod records;
mod serve;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, Error as UsageError};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use thiserror::Error;

use crate::api;
use crate::audit;
use crate::config::{Args, ConfigErrors};
use crate::resource;

pub use client::{ClientError, Problem, Stage};

/// The name under which kubectl runs a program as its plugin.
const PLUGIN: &str = "kubectl-scalegate";

/// See and set how many replicas Deployments run, with a client certificate, under rules in WebAssembly.
#[derive(Debug, Parser)]
#[command(version, after_help = client::EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(Box<Args>),
    #[command(flatten)]
    Client(client::ClientCommand),
    /// Check, try and measure a directory of policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Mint development certificates into two Secrets of a cluster, and keep them fresh
    DevCerts(dev_certs::DevCertsArgs),
    /// Print the `CustomResourceDefinition` of `ReplicaTarget`
    Crd,
    /// Print the JSON Schema of the audit records
    AuditSchema,
    /// Print the `OpenAPI` description of the API over HTTP
    Openapi,
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// The configuration is wrong: the user's to mend.
    #[error("the configuration is wrong\n{0}")]
    Config(#[from] ConfigErrors),
    /// The policies were asked, and say no.
    #[error("the policies refuse it")]
    Refused,
    /// A command that asks a gateway failed.
    #[error("{}", with_advice(.0))]
    Client(#[from] ClientError),
    /// A second signal came while the first one's work was going on.
    #[error("aborted")]
    Aborted(u8),
    /// Anything else, with its causes.
    #[error("{}", client::chain(.0))]
    Other(#[from] anyhow::Error),
}

/// What went wrong, and on a line below what to do next.
fn with_advice(error: &ClientError) -> String {
    match error.advice() {
        "" => error.to_string(),
        advice => format!("{error}\n  next: {advice}"),
    }
}

impl Failure {
    /// 2 for a mistake of the user, as for a wrong flag; 3 for policies that say no; 128 and the signal's number when aborted;
    /// those of [`ClientError`]; otherwise 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Refused => ExitCode::from(3),
            Self::Client(error) => ExitCode::from(error.exit_code()),
            Self::Aborted(code) => ExitCode::from(*code),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

/// Prints what clap says: help, or what is wrong with the arguments.
fn explained(error: UsageError) -> ExitCode {
    // 2 for wrong arguments, 0 for help.
    let code = u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    // Nothing can be done where nobody reads it.
    let _ = output::shown(without_user(error)).print();
    code
}

/// The same error about arguments, which does not repeat the user and password of an address.
fn without_user(mut error: UsageError) -> UsageError {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && let Some((scheme, rest)) = value.split_once("://")
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        let value = format!("{scheme}://…@{host}");
        error.insert(ContextKind::InvalidValue, ContextValue::String(value));
    }
    error
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(output::print(text).map_err(anyhow::Error::from)?)
}

impl Cli {
    /// Reads the arguments. What is not to be run, as help or a shell's question, is answered, and the exit code returned.
    pub fn read() -> Result<Self, ExitCode> {
        let arguments: Vec<_> = std::env::args_os().collect();
        let program = arguments.first().map(Path::new).and_then(Path::file_name);
        let is_plugin = program == Some(PLUGIN.as_ref());
        match client::answer(&arguments) {
            Ok(true) => Err(ExitCode::SUCCESS),
            Ok(false) => Self::parse_as(is_plugin, arguments).map_err(explained),
            Err(error) => Err(explained(error)),
        }
    }

    /// Reads arguments. A plugin's help shows how it is called.
    fn parse_as(is_plugin: bool, arguments: Vec<OsString>) -> Result<Self, UsageError> {
        let mut command = Self::command();
        if is_plugin {
            command = command.bin_name("kubectl scalegate");
        }
        let arguments = leading::moved(&client::commands(), arguments);
        let matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// Runs the command to its end.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(args) => serve::serve(&args),
            Command::Client(command) => Ok(client::run(&command)?),
            Command::Policy(command) => policy::run(&command),
            Command::DevCerts(args) => Ok(dev_certs::dev_certs(&args)?),
            Command::Crd => print(&resource::crd_yaml().map_err(anyhow::Error::from)?),
            Command::AuditSchema => print(&audit::schema()),
            Command::Openapi => print(&api::openapi()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn help(is_plugin: bool, arguments: &[&str]) -> String {
        let arguments = arguments.iter().map(OsString::from).collect();
        Cli::parse_as(is_plugin, arguments).unwrap_err().to_string()
    }

    #[test]
    fn the_arguments_make_sense() {
        Cli::command().debug_assert();
    }

    /// The words that call each command.
    fn calls(command: &clap::Command, words: &[String]) -> Vec<Vec<String>> {
        let inner = command.get_subcommands().flat_map(|inner| {
            let words = [words, &[inner.get_name().to_owned()]].concat();
            calls(inner, &words)
        });
        std::iter::once(words.to_vec()).chain(inner).collect()
    }

    #[test]
    fn each_command_has_help_that_says_what_it_does() {
        let calls = calls(&Cli::command(), &[]);
        assert!(calls.len() > 20, "{calls:?}");
        for call in calls {
            let words: Vec<_> = ["scalegate"].into_iter().chain(call.iter().map(String::as_str)).collect();
            let name = format!("help_{}", words.join("_").replace('-', "_"));
            insta::assert_snapshot!(name, help(false, &[&words[..], &["--help"]].concat()));
        }
    }

    #[test]
    fn as_a_plugin_help_shows_how_kubectl_calls_it() {
        let shown = help(true, &["/usr/local/bin/kubectl-scalegate", "get", "--help"]);
        assert!(shown.contains("Usage: kubectl scalegate get "), "{shown}");
        let shown = help(false, &["/usr/local/bin/scalegate", "get", "--help"]);
        assert!(shown.contains("Usage: scalegate get "), "{shown}");
    }

    #[test]
    fn options_before_a_command_are_taken_as_after_it() {
        let read = |words: &[&str]| format!("{:?}", Cli::parse_as(false, words.iter().map(OsString::from).collect()));
        let after = read(&["scalegate", "get", "-n", "demo", "--context", "prod", "web"]);
        assert!(after.starts_with("Ok("), "{after}");
        assert_eq!(read(&["scalegate", "-n", "demo", "--context", "prod", "get", "web"]), after);
    }

    #[test]
    fn the_password_in_an_address_is_not_repeated() {
        let words = ["scalegate", "get", "--server", "https://user:secret@host:1"].map(OsString::from);
        let said = without_user(Cli::parse_as(false, words.into()).unwrap_err()).to_string();
        assert!(said.contains("https://…@host:1") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn advice_stands_on_a_line_of_its_own() {
        let failure = Failure::Client(ClientError::NothingSelected("tier=none".to_owned()));
        insta::assert_snapshot!("failure_with_advice", failure.to_string());
    }
}
