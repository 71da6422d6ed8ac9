//! `scalegate completion`: scripts that complete commands and options, in bash also the names of Deployments.

use std::ffi::OsString;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use clap_complete::{Shell, generate};
use tokio::time::timeout;

use super::arguments::namespace;
use super::connect::ConnectArgs;
use super::error::ClientError;
use super::order::Selection;
use super::read::listing;
use super::show;
use super::view::Replicas;
use crate::cli::{Cli, output};

/// How long somebody waits for names after Tab.
const PATIENCE: Duration = Duration::from_secs(3);

/// Completes the names of Deployments where a command takes one, and leaves the rest to the generated function.
const BASH_NAMES: &str = include_str!("completion/names.bash");

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: CompletedShell,
}

/// A shell that is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CompletedShell {
    /// Put `source <(scalegate completion bash)` into ~/.bashrc
    Bash,
    /// Put `source <(scalegate completion zsh)` into ~/.zshrc
    Zsh,
    /// Put `scalegate completion fish | source` into ~/.config/fish/config.fish
    Fish,
}

/// What is typed so far, for the names that complete it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CompleteArgs {
    /// The words after the program's name
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// The typed options that say where to look for names.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct TypedOptions {
    #[command(flatten)]
    connect: ConnectArgs,
    #[arg(long, short, value_parser = namespace)]
    namespace: Option<String>,
}

/// Prints the script.
pub(super) fn completion(args: &CompletionArgs) -> Result<(), ClientError> {
    let (shell, names) = match args.shell {
        CompletedShell::Bash => (Shell::Bash, BASH_NAMES),
        CompletedShell::Zsh => (Shell::Zsh, ""),
        CompletedShell::Fish => (Shell::Fish, ""),
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "scalegate", &mut script);
    let script = String::from_utf8_lossy(&script);
    // The scripts have tabs, which are to stay.
    Ok(output::print_escaped(&format!("{script}{names}"))?)
}

/// Prints the names of Deployments, one a line; nothing where there is no answer in time.
pub(super) async fn complete(args: &CompleteArgs) -> Result<(), ClientError> {
    let Ok(Ok(names)) = timeout(PATIENCE, names(&args.words)).await else { return Ok(()) };
    show::names(names)
}

async fn names(words: &[OsString]) -> Result<Vec<String>, ClientError> {
    let TypedOptions { connect, namespace } = typed(words);
    let session = connect.session()?;
    let bare = namespace.clone().or(session.namespace);
    let items = listing(&session.connection, &Selection { namespace, selector: None }).await?.items;
    let names = items.iter().map(|item| Replicas::of(item).workload());
    let shown = names.flat_map(|name| {
        let alone = (Some(&name.namespace) == bare.as_ref()).then(|| name.name.clone());
        alone.into_iter().chain([name.to_string()])
    });
    Ok(shown.collect())
}

/// The options that matter here, whatever else is typed.
fn typed(words: &[OsString]) -> TypedOptions {
    const KNOWN: [&str; 7] = ["--context", "--server", "--ca", "--cert", "--key", "--namespace", "-n"];
    let mut options = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        if KNOWN.contains(&name) {
            options.push(word.clone());
            if !text.contains('=') {
                options.extend(words.next().cloned());
            }
        }
    }
    TypedOptions::try_parse_from(options)
        .unwrap_or_else(|_| TypedOptions { connect: ConnectArgs::default(), namespace: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_among_the_typed_words_say_where_to_look() {
        let words =
            ["set", "--context", "prod", "--reason", "x", "--key=k.pem", "-n", "shop", "we"].map(OsString::from);
        let TypedOptions { connect, namespace } = typed(&words);
        assert_eq!((connect.context.as_deref(), namespace.as_deref()), (Some("prod"), Some("shop")));
        assert_eq!(connect.key.as_deref(), Some("k.pem".as_ref()));
        let unfinished = ["get", "--server", "x"].map(OsString::from);
        assert!(typed(&unfinished).connect.server.is_none());
    }
}
