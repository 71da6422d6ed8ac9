//! `scalegate set`: the count of one Deployment, or of all with the same labels.

mod bulk;
mod outcome;

use std::time::Duration;

use uuid::Uuid;

use super::arguments::{ScopeArgs, TypedName, WorkloadName, count, name_or_number, patience, reason, typed_name};
use super::completion;
use super::connect::{ConnectArgs, Session};
use super::error::ClientError;
use super::order::{Order, Wanted};
use super::show::{self, Form, FormArgs};
use super::wait::Wait;
use crate::cli::output;
use crate::ids;
use outcome::{Attempt, Outcome};

/// How long `--wait` waits by itself.
const USUAL_WAIT: &str = "30s";

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SetArgs {
    /// The Deployment, as NAMESPACE/NAME, or NAME with a namespace (none with --selector); then how many replicas, from 0
    #[arg(required = true, num_args = 1..=2, value_names = ["NAME", "REPLICAS"], value_parser = name_or_number, allow_negative_numbers = true,
        add = completion::names())]
    arguments: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Why; kept with the target
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// With --selector: set those that are allowed, although others are refused
    #[arg(long, requires = "selector")]
    partial: bool,
    /// Wait until the replicas are ready, for at most TIME (30s without a value)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = USUAL_WAIT,
        value_parser = patience, conflicts_with = "dry_run")]
    wait: Option<Duration>,
    #[command(flatten)]
    form: FormArgs,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Sets, and shows what happened.
pub(super) async fn set(args: &SetArgs) -> Result<(), ClientError> {
    let (name, replicas) = args.what()?;
    let session = args.connect.session()?;
    let setting = Setting {
        session: &session,
        wanted: Wanted { replicas, reason: args.reason.clone() },
        key: ids::new(),
        wait: args.wait,
    };
    match name {
        Some(name) => {
            let name = name.resolve(args.scope.namespace(), session.namespace.as_deref())?;
            setting.one(&name, args.dry_run, args.form.output).await
        }
        None => bulk::set(&setting, args).await,
    }
}

impl SetArgs {
    /// Which Deployment, if it is one by name, and how many replicas.
    fn what(&self) -> Result<(Option<TypedName>, u32), ClientError> {
        let usage = |what: &str, wrong: String| ClientError::Usage(format!("{what}: {wrong}"));
        let counted = |text: &str| count(text).map_err(|wrong| usage("REPLICAS", wrong));
        match (self.arguments.as_slice(), self.scope.selector()) {
            ([name, replicas], None) => {
                let name = typed_name(name).map_err(|wrong| usage("NAME", wrong))?;
                Ok((Some(name), counted(replicas)?))
            }
            ([replicas], Some(_)) => Ok((None, counted(replicas)?)),
            ([_], None) => {
                Err(usage("NAME or REPLICAS", "one is missing, as in `scalegate set demo/web 5`".to_owned()))
            }
            (_, Some(_)) => {
                Err(usage("NAME", "there is none with --selector, as in `scalegate set -l tier=front 5`".to_owned()))
            }
            (words, None) => {
                let more = words.last().map_or_else(String::new, |more| output::argument(more));
                let wrong = format!("\"{more}\" is one too many: a name and a count, as in `scalegate set demo/web 5`");
                Err(ClientError::Usage(format!("{wrong}; a time to wait follows an equals sign, as in --wait=30s")))
            }
        }
    }
}

/// What is set, whichever Deployments it is.
struct Setting<'a> {
    session: &'a Session,
    wanted: Wanted,
    /// The same for a whole command: the gateway keeps keys for each Deployment apart.
    key: Uuid,
    wait: Option<Duration>,
}

impl Setting<'_> {
    async fn one(&self, name: &WorkloadName, dry_run: bool, form: Form) -> Result<(), ClientError> {
        if dry_run {
            let answer = self.session.connection.send(&Order::try_set(name, &self.wanted)).await?;
            return outcome::show_one(form, name, self.wanted.replicas, Outcome::Would(answer));
        }
        let accepted = self.store(name).await?;
        let Some(limit) = self.wait else {
            return outcome::show_one(form, name, self.wanted.replicas, Outcome::Accepted(accepted));
        };
        let ready = Wait::new(limit).until_ready(&self.session.connection, name, &accepted).await?;
        outcome::show_one(form, name, self.wanted.replicas, Outcome::Ready { accepted, ready })
    }

    async fn store(&self, name: &WorkloadName) -> Result<serde_json::Value, ClientError> {
        self.session.connection.send(&Order::set(name, &self.wanted, self.key)).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::FromArgMatches;

    use super::super::{ClientCommand, commands};
    use super::*;

    fn what(words: &[&str]) -> Result<(Option<TypedName>, u32), ClientError> {
        let words = [&["scalegate", "set"][..], words].concat();
        let matches = commands().try_get_matches_from(&words).unwrap();
        let ClientCommand::Set(args) = ClientCommand::from_arg_matches(&matches).unwrap() else {
            unreachable!("{words:?}")
        };
        args.what()
    }

    #[test]
    fn a_number_that_is_no_count_is_said_to_be_none() {
        assert_eq!(what(&["web", "3"]).unwrap(), (typed_name("web").ok(), 3));
        for wrong in ["-3", "-1.5", "1.5", "2147483648"] {
            for words in [&["web", wrong][..], &["-l", "tier=front", wrong]] {
                let error = what(words).unwrap_err();
                let said = "REPLICAS: a count is 0 or more: a whole number up to 2147483647";
                assert_eq!((error.to_string().as_str(), error.exit_code()), (said, 2), "{words:?}");
            }
        }
    }
}
