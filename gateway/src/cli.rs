//! The command line.

mod client;
mod dev_certs;
mod input;
mod output;
mod policy;
mod records;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thiserror::Error;

use crate::api;
use crate::audit;
use crate::config::{Args, ConfigErrors};
use crate::resource;

use client::Order;

/// See and set how many replicas Deployments run, with a client certificate, under rules in WebAssembly.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(Box<Args>),
    /// Show the Deployments that you may see
    List {
        /// Of this namespace alone
        #[arg(long, short, value_parser = client::namespace)]
        namespace: Option<String>,
        /// With these labels, such as tier=front
        #[arg(long, short = 'l')]
        selector: Option<String>,
        #[command(flatten)]
        connect: client::Connect,
    },
    /// Show one Deployment's replicas
    Get {
        /// The Deployment, as NAMESPACE/NAME
        #[arg(value_parser = client::target)]
        target: client::WorkloadName,
        #[command(flatten)]
        connect: client::Connect,
    },
    /// Set one Deployment's replicas
    Set {
        /// The Deployment, as NAMESPACE/NAME
        #[arg(value_parser = client::target)]
        target: client::WorkloadName,
        /// How many, from 0
        #[arg(value_parser = client::count, allow_negative_numbers = true)]
        replicas: u32,
        /// Why; kept with the target
        #[arg(long, value_parser = client::reason)]
        reason: Option<String>,
        /// Decide only
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        connect: client::Connect,
    },
    /// Stop managing one Deployment; its count stays
    Release {
        /// The Deployment, as NAMESPACE/NAME
        #[arg(value_parser = client::target)]
        target: client::WorkloadName,
        #[command(flatten)]
        connect: client::Connect,
    },
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
    /// A second signal came while the first one's work was going on.
    #[error("aborted")]
    Aborted(u8),
    /// Anything else, with its causes.
    #[error("{}", chain(.0))]
    Other(#[from] anyhow::Error),
}

/// An error and its causes, each told once: some errors tell their cause themselves.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        told if told.ends_with(&cause) => told.to_owned(),
        told => format!("{told}: {cause}"),
    })
}

impl Failure {
    /// 2 for a mistake of the user, as for a wrong flag; 3 for policies that say no; 128 and the signal's number when aborted; otherwise 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Refused => ExitCode::from(3),
            Self::Aborted(code) => ExitCode::from(*code),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(output::print(text).map_err(anyhow::Error::from)?)
}

fn ask(connect: &client::Connect, order: Order) -> Result<(), Failure> {
    Ok(client::run(connect, order)?)
}

impl Cli {
    /// Reads the arguments. What is not to be run, as help, is printed, and the exit code is returned.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // 2 for wrong arguments, 0 for help.
            let code = u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
            // Nothing can be done where nobody reads it.
            let _ = output::shown(error).print();
            code
        })
    }

    /// Runs the command to its end.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Serve(args) => serve::serve(&args),
            Command::List { namespace, selector, connect } => ask(&connect, Order::List { namespace, selector }),
            Command::Get { target, connect } => ask(&connect, Order::Get(target)),
            Command::Set { target, replicas, reason, dry_run, connect } => {
                ask(&connect, Order::Set { target, replicas, reason, dry_run })
            }
            Command::Release { target, connect } => ask(&connect, Order::Release(target)),
            Command::Policy(command) => policy::run(&command),
            Command::DevCerts(args) => Ok(dev_certs::dev_certs(&args)?),
            Command::Crd => print(&resource::crd_yaml().map_err(anyhow::Error::from)?),
            Command::AuditSchema => print(&audit::schema()),
            Command::Openapi => print(&api::openapi()),
        }
    }
}
