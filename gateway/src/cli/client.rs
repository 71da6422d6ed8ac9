//! `scalegate get`, `list`, `set` and the other commands that ask a gateway, for people and jobs.
//!
//! [`connect`] finds the gateway and the certificates, by flags, environment and [`contexts`]; [`connection`] sends an
//! [`order`]; [`view`] reads the answer, [`columns`], [`table`] and [`show`] show it. What fails is an [`error`], with an
//! exit code and [`advice`].

mod advice;
mod arguments;
mod columns;
mod completion;
mod connect;
mod connection;
mod contexts;
mod doctor;
mod error;
mod events;
mod follow;
mod history;
mod order;
mod policies;
mod read;
mod release;
mod set;
mod show;
mod table;
mod version;
mod view;
mod wait;
mod watch;
mod whoami;

use anyhow::Context;
use clap::Subcommand;
use tokio::runtime::{Builder, Runtime};

pub(super) use arguments::{namespace, object_name};
pub(super) use completion::answer;
pub use error::{ClientError, Problem, Stage};
pub(super) use error::{EXIT_CODES, chain};

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Show Deployments
    Get(read::GetArgs),
    /// List the Deployments that you may see
    List(read::ListArgs),
    /// Set how many replicas a Deployment runs, or all Deployments with the same labels
    Set(set::SetArgs),
    /// Stop managing a Deployment; its count stays
    Release(release::ReleaseArgs),
    /// Show Deployments as they change, until Ctrl-C
    Watch(watch::WatchArgs),
    /// Show the last changes of a Deployment's count
    History(history::HistoryArgs),
    /// Show which policies decide
    Policies(policies::PoliciesArgs),
    /// Show whom your certificate names, and whether the gateway accepts it
    Whoami(whoami::WhoamiArgs),
    /// Follow the path of a request step by step, and say what to do where it ends
    Doctor(doctor::DoctorArgs),
    /// Show the client's version and the gateway's
    Version(version::VersionArgs),
    /// Save and choose contexts: gateways and certificates under a name
    #[command(subcommand)]
    Config(contexts::ConfigCommand),
    /// Print a script that completes commands and names in a shell
    Completion(completion::CompletionArgs),
}

/// The commands, as clap knows them.
pub(super) fn commands() -> clap::Command {
    ClientCommand::augment_subcommands(clap::Command::new("scalegate"))
}

/// What runs a command, on this thread.
fn runtime() -> Result<Runtime, ClientError> {
    Ok(Builder::new_current_thread().enable_all().build().context("cannot start")?)
}

/// Runs a command to its end.
pub(super) fn run(command: &ClientCommand) -> Result<(), ClientError> {
    runtime()?.block_on(async {
        match command {
            ClientCommand::Get(args) => read::get(args).await,
            ClientCommand::List(args) => read::list(args).await,
            ClientCommand::Set(args) => set::set(args).await,
            ClientCommand::Release(args) => release::release(args).await,
            ClientCommand::Watch(args) => watch::watch(args).await,
            ClientCommand::History(args) => history::history(args).await,
            ClientCommand::Policies(args) => policies::policies(args).await,
            ClientCommand::Whoami(args) => whoami::whoami(args).await,
            ClientCommand::Doctor(args) => doctor::doctor(args).await,
            ClientCommand::Version(args) => version::version(args).await,
            ClientCommand::Config(command) => contexts::run(command),
            ClientCommand::Completion(args) => completion::completion(args),
        }
    })
}
