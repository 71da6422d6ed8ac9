//! Completion in shells: commands, options, contexts, namespaces and the names of Deployments.
//!
//! The script that `scalegate completion` prints asks this program at each Tab, by a variable of the environment; kubectl,
//! which knows plugins by their names, by a name of the program. So bash, zsh, fish and kubectl complete the same, wherever
//! an argument of [`Cli`] takes it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use clap::error::Error as UsageError;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use clap_complete::engine::{self, ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};
use tokio::time::timeout;

use super::arguments::{WorkloadName, namespace, typed_name};
use super::connect::{ConnectArgs, variable};
use super::contexts::ContextFile;
use super::error::ClientError;
use super::order::Selection;
use super::read::listing;
use super::view::Replicas;
use super::{commands, runtime};
use crate::cli::{Cli, leading, output};

/// The variable by which a script asks; its value is the shell.
const ASKING: &str = "SCALEGATE_COMPLETE";

/// The name by which kubectl asks what completes the words of its plugin `scalegate`.
const KUBECTLS: &str = "kubectl_complete-scalegate";

/// How long somebody waits for names after Tab.
const PATIENCE: Duration = Duration::from_secs(3);

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
    /// Put `source <(scalegate completion zsh)` into ~/.zshrc, after compinit
    Zsh,
    /// Put `scalegate completion fish | source` into ~/.config/fish/config.fish
    Fish,
}

/// Prints the script.
pub(super) fn completion(args: &CompletionArgs) -> Result<(), ClientError> {
    let shell: &dyn EnvCompleter = match args.shell {
        CompletedShell::Bash => &Bash,
        CompletedShell::Zsh => &Zsh,
        CompletedShell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell.write_registration(ASKING, "scalegate", "scalegate", &called()?, &mut script)?;
    // The scripts have tabs, which are to stay.
    Ok(output::print_escaped(&String::from_utf8_lossy(&script))?)
}

/// How a script calls this program: as it was called now, from wherever the script will be.
fn called() -> Result<String, ClientError> {
    let called = std::env::args_os().next().unwrap_or_default();
    let path = Path::new(&called);
    // A name alone stays one, and is looked up in the PATH.
    let path = if path.components().count() > 1 { std::path::absolute(path)? } else { path.to_owned() };
    unquoted(&path)
}

/// The path, if no shell needs quotes for it: in the scripts, shells would run commands in another one, or not find it.
fn unquoted(path: &Path) -> Result<String, ClientError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte);
    let text = path.to_str().filter(|text| !text.is_empty() && text.bytes().all(plain));
    let wrong = || {
        anyhow!(
            "a script cannot call {}: shells need quotes for characters of its path; call the program by its name alone, \
             from a directory in the PATH",
            output::argument(&path.to_string_lossy())
        )
    };
    Ok(text.map(str::to_owned).ok_or_else(wrong)?)
}

/// Answers a script, or kubectl, that asks what completes the typed words; returns whether one did.
pub(in crate::cli) fn answer(arguments: &[OsString]) -> Result<bool, UsageError> {
    if is_asked_by_kubectl(arguments) {
        output::print_escaped(&candidates(arguments)?)?;
        return Ok(true);
    }
    let here = std::env::current_dir().ok();
    let shells = Shells(&[&Bash, &Fish, &Zsh]);
    CompleteEnv::with_factory(Cli::command).var(ASKING).shells(shells).try_complete(arguments, here.as_deref())
}

fn is_asked_by_kubectl(arguments: &[OsString]) -> bool {
    arguments.first().map(Path::new).and_then(Path::file_name) == Some(KUBECTLS.as_ref())
}

/// What completes the last argument, as kubectl's own completion prints it: one word a line, after a tab what it is, and at
/// the end the directive 4, by which no shell offers files. A word with a control character would be several.
fn candidates(arguments: &[OsString]) -> io::Result<String> {
    let here = std::env::current_dir().ok();
    let last = arguments.len().saturating_sub(1);
    let all = engine::complete(&mut Cli::command(), arguments.to_vec(), last, here.as_deref())?;
    let lines = all.iter().filter_map(|candidate| {
        let value = candidate.get_value().to_str().filter(|value| !value.chars().any(char::is_control))?;
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        Some(format!("{value}\t{}\n", help.lines().next().unwrap_or_default()))
    });
    Ok(lines.collect::<String>() + ":4\n")
}

/// Completes the names of contexts.
pub(super) fn contexts() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let file = ContextFile::load(&variable).ok();
        file.iter().flat_map(ContextFile::plain_names).map(CompletionCandidate::new).collect()
    })
}

/// Completes the namespaces of the Deployments that the caller may see.
pub(super) fn namespaces() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let known = Typed::read(OsStr::new("")).and_then(|typed| typed.ask(true)).unwrap_or_default();
        known.namespaces().into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Completes the names of the Deployments that the caller may see.
pub(super) fn names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let known = Typed::read(current).filter(Typed::takes_a_name).and_then(|typed| typed.ask(false));
        let names = known.map(|known| known.names(&current.to_string_lossy()));
        names.into_iter().flatten().map(CompletionCandidate::new).collect()
    })
}

/// The words before the one that is being typed, as far as they can be read.
struct Typed(ArgMatches);

impl Typed {
    /// Those of this process, which a script or kubectl has asked.
    fn read(current: &OsStr) -> Option<Self> {
        let arguments: Vec<_> = std::env::args_os().collect();
        let before =
            if is_asked_by_kubectl(&arguments) { 0 } else { arguments.iter().position(|word| word == "--")? + 1 };
        Self::of(arguments[before..].to_vec(), current)
    }

    fn of(mut words: Vec<OsString>, current: &OsStr) -> Option<Self> {
        if let Some(at) = words.iter().rposition(|word| word == current) {
            words.remove(at);
        }
        // Options before the command say where to look as well.
        let words = leading::moved(&commands(), words);
        let mut matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
        while let Some((_, inner)) = matches.remove_subcommand() {
            matches = inner;
        }
        Some(Self(matches))
    }

    /// Returns whether the command has such an argument, and it is given.
    fn has(&self, argument: &str) -> bool {
        self.0.try_contains_id(argument).unwrap_or(false)
    }

    /// Returns whether a name may follow: after the name of `set` comes a count, and a selector stands for names.
    fn takes_a_name(&self) -> bool {
        !self.has("arguments") && !self.has("selector")
    }

    fn namespace(&self) -> Option<&String> {
        self.0.try_get_one("namespace").ok().flatten()
    }

    /// How to reach the gateway; `None` for a command that asks none.
    fn connect(&self) -> Option<ConnectArgs> {
        self.0.try_contains_id("context").ok()?;
        ConnectArgs::from_arg_matches(&self.0).ok()
    }

    /// What the gateway shows, in all namespaces or where the words say; nothing where there is no answer in time.
    fn ask(&self, everywhere: bool) -> Option<Known> {
        let connect = self.connect()?;
        let namespace = self.namespace().filter(|_| !everywhere).cloned();
        let asking = async { timeout(PATIENCE, Known::ask(&connect, namespace)).await };
        runtime().ok()?.block_on(asking).ok()?.ok()
    }
}

/// What the gateway shows.
#[derive(Debug, Default)]
struct Known {
    workloads: Vec<WorkloadName>,
    /// The namespace of names that have none.
    usual: Option<String>,
}

impl Known {
    async fn ask(connect: &ConnectArgs, namespace: Option<String>) -> Result<Self, ClientError> {
        let session = connect.session()?;
        let usual = namespace.clone().or(session.namespace);
        let items = listing(&session.connection, &Selection { namespace, selector: None }).await?.items;
        let workloads = items.iter().map(|item| Replicas::of(item).workload()).collect();
        Ok(Self { workloads, usual })
    }

    /// The namespaces. What is none reaches no shell, which might run it.
    fn namespaces(&self) -> BTreeSet<&str> {
        let all = self.workloads.iter().map(|workload| workload.namespace.as_str());
        all.filter(|name| namespace(name).is_ok()).collect()
    }

    /// The names that begin with `current`: those of the usual namespace alone, and all with their namespace once
    /// something is typed. What is no name reaches no shell.
    fn names(&self, current: &str) -> Vec<String> {
        let usual = self.workloads.iter().filter(|workload| Some(&workload.namespace) == self.usual.as_ref());
        let whole = self.workloads.iter().filter(|_| self.usual.is_none() || !current.is_empty());
        let all = usual.map(|workload| workload.name.clone()).chain(whole.map(ToString::to_string));
        all.filter(|name| name.starts_with(current) && typed_name(name).is_ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn typed(words: &[&str], current: &str) -> Typed {
        Typed::of(words.iter().map(OsString::from).collect(), current.as_ref()).unwrap()
    }

    #[test]
    fn the_typed_words_say_where_to_look() {
        let words =
            ["scalegate", "set", "--context", "prod", "--reason", "x", "--key=k.pem", "-n", "shop", "we", "--wait"];
        let set = typed(&words, "we");
        let connect = set.connect().unwrap();
        assert_eq!((connect.context.as_deref(), connect.key.as_deref()), (Some("prod"), Some("k.pem".as_ref())));
        assert_eq!(set.namespace().map(String::as_str), Some("shop"));
        let unfinished = typed(&["scalegate", "get", "--context", "prod", "--server", "x", "w"], "w");
        assert_eq!(unfinished.connect().unwrap().context.as_deref(), Some("prod"));
        assert!(typed(&["scalegate", "config", "set-context", "dev", "-n", ""], "").connect().is_none());
    }

    #[test]
    fn options_before_the_command_say_where_to_look() {
        let get = typed(&["scalegate", "--context", "prod", "-n", "shop", "get", "w"], "w");
        assert_eq!(get.connect().unwrap().context.as_deref(), Some("prod"));
        assert_eq!(get.namespace().map(String::as_str), Some("shop"));
    }

    #[test]
    fn a_script_calls_no_path_that_needs_quotes() {
        for plain in ["scalegate", "/usr/local/bin/scalegate", "/home/me@x/a+b_c-1.2:3/scalegate"] {
            assert_eq!(unquoted(Path::new(plain)).unwrap(), plain);
        }
        for odd in ["", "/a b/scalegate", "/$(touch x)/scalegate", "/a'b/scalegate", "/a\"b/x", "/a`b`/x", "/ü/x"] {
            assert_eq!(unquoted(Path::new(odd)).unwrap_err().exit_code(), 1, "{odd}");
        }
    }

    #[test]
    fn kubectl_gets_one_word_a_line() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["plain.pem", "two\nlines.pem"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let typed = format!("{}/", directory.path().display());
        let words = [KUBECTLS, "get", "--ca", typed.as_str()].map(OsString::from);
        let printed = candidates(&words).unwrap();
        assert!(printed.contains("plain.pem\t") && !printed.contains("lines.pem"), "{printed:?}");
    }

    #[test]
    fn a_name_follows_where_one_is_taken() {
        for words in
            [&["scalegate", "set", ""][..], &["scalegate", "set", "-n", "demo", ""], &["scalegate", "get", "a", ""]]
        {
            assert!(typed(words, "").takes_a_name(), "{words:?}");
        }
        for words in [&["scalegate", "set", "web", ""][..], &["scalegate", "set", "-l", "tier=front", ""]] {
            assert!(!typed(words, "").takes_a_name(), "{words:?}");
        }
    }

    #[test]
    fn names_of_the_usual_namespace_need_none() {
        let name = |namespace: &str, name: &str| WorkloadName { namespace: namespace.into(), name: name.into() };
        let hostile = name("demo", "web\n$(reboot)");
        let mut known = Known { workloads: vec![name("demo", "web"), name("shop", "cart"), hostile], usual: None };
        assert_eq!(known.names(""), ["demo/web", "shop/cart"]);
        known.workloads.push(name("demo$(touch${IFS}x)", "web"));
        assert_eq!(Vec::from_iter(known.namespaces()), ["demo", "shop"]);
        known.usual = Some("demo".to_owned());
        assert_eq!(known.names(""), ["web"]);
        assert_eq!(known.names("we"), ["web"]);
        assert_eq!(known.names("s"), ["shop/cart"]);
    }
}
