//! `scalegate config`: the contexts, from the command line.

use std::path::PathBuf;

use clap::Subcommand;
use http::Uri;

use super::super::arguments::NamespaceArgs;
use super::super::completion;
use super::super::connect::{VARIABLES, server, variable};
use super::super::error::ClientError;
use super::super::table::{Cell, Paint, Table};
use super::{Context, ContextFile, is_plain};
use crate::cli::output;

/// The commands.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Save a context, or change the given parts of one
    SetContext(SetContextArgs),
    /// Use a context unless a command names another
    UseContext {
        /// The context
        #[arg(add = completion::contexts())]
        name: String,
    },
    /// List the contexts
    GetContexts,
    /// Print the name of the current context
    CurrentContext,
    /// Forget a context
    DeleteContext {
        /// The context
        #[arg(add = completion::contexts())]
        name: String,
    },
}

/// A context; what is left out stays as it is.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SetContextArgs {
    /// The context
    #[arg(value_parser = context_name, add = completion::contexts())]
    name: String,
    /// The gateway's address
    #[arg(long, value_name = "URL", value_parser = server)]
    server: Option<Uri>,
    /// The CA of the gateway's certificate (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Your certificate chain (PEM)
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Your private key (PEM)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    place: NamespaceArgs,
}

/// Runs a command on the file that the environment names.
pub(in crate::cli) fn run(command: &ConfigCommand) -> Result<(), ClientError> {
    match command {
        ConfigCommand::SetContext(args) => {
            let (file, said) = ContextFile::change(&variable, |file| file.set(args))?;
            say(&said)?;
            // They may be made later.
            Ok(file.missing(&args.name)?.iter().try_for_each(|line| output::note(line))?)
        }
        ConfigCommand::UseContext { name } => {
            ContextFile::change(&variable, |file| file.choose(name))?;
            say(&format!("the current context is {name}{}", overridden()))
        }
        ConfigCommand::GetContexts => {
            let table = ContextFile::load(&variable)?.table();
            Ok(output::print_escaped(&table.render(Paint::of_stdout()))?)
        }
        ConfigCommand::CurrentContext => match &ContextFile::load(&variable)?.contexts.current_context {
            Some(name) => say(name),
            None => {
                Err(ClientError::Usage("there is no current context: `scalegate config use-context NAME`".to_owned()))
            }
        },
        ConfigCommand::DeleteContext { name } => {
            let (_, said) = ContextFile::change(&variable, |file| file.delete(name))?;
            say(&said)
        }
    }
}

/// What keeps the current context from being used, if anything does.
fn overridden() -> String {
    let set: Vec<_> = VARIABLES.into_iter().filter(|name| variable(name).is_some()).collect();
    if set.is_empty() {
        return String::new();
    }
    format!("; the environment comes before it: unset {}, or use --context", set.join(", "))
}

fn say(line: &str) -> Result<(), ClientError> {
    Ok(output::print(&format!("{line}\n"))?)
}

impl ContextFile {
    /// Saves a context. The first one becomes the current one.
    fn set(&mut self, args: &SetContextArgs) -> Result<String, ClientError> {
        let name = args.name.as_str();
        let before = self.contexts.contexts.get(name);
        let context = args.over(before)?;
        let mut said = format!("context {name} is {}", if before.is_some() { "changed" } else { "saved" });
        if self.contexts.contexts.is_empty() && self.contexts.current_context.is_none() {
            self.contexts.current_context = Some(name.to_owned());
            said.push_str(", and the current one");
        }
        self.contexts.contexts.insert(name.to_owned(), context);
        Ok(said)
    }

    fn choose(&mut self, name: &str) -> Result<(), ClientError> {
        self.context(name)?;
        self.contexts.current_context = Some(name.to_owned());
        Ok(())
    }

    /// A warning for each file of a context that is not there.
    fn missing(&self, name: &str) -> Result<Vec<String>, ClientError> {
        let Context { ca, cert, key, .. } = self.context(name)?;
        let files = [("--ca", ca), ("--cert", cert), ("--key", key)].map(|(flag, path)| (flag, self.path(path)));
        let missing = files.iter().filter(|(_, path)| !path.exists());
        Ok(missing.map(|(flag, path)| format!("warning: {flag}: there is no {}", path.display())).collect())
    }

    fn delete(&mut self, name: &str) -> Result<String, ClientError> {
        if self.contexts.contexts.remove(name).is_none() {
            return Err(self.no_context(name));
        }
        let was_current = self.contexts.current_context.as_deref() == Some(name);
        if was_current {
            self.contexts.current_context = None;
        }
        Ok(format!("context {name} is deleted{}", if was_current { "; no context is the current one" } else { "" }))
    }

    fn table(&self) -> Table {
        let mut table = Table::new(vec!["CURRENT", "NAME", "SERVER", "NAMESPACE", "CERTIFICATE"]);
        for (name, context) in &self.contexts.contexts {
            let is_current = self.contexts.current_context.as_deref() == Some(name);
            table.push(vec![
                Cell::new(if is_current { "*" } else { "" }),
                Cell::new(name),
                Cell::new(&context.server),
                Cell::maybe(context.namespace.as_deref()),
                Cell::new(&context.cert.display().to_string()),
            ]);
        }
        table
    }
}

impl SetContextArgs {
    /// The context with these parts, and the others from `before`.
    fn over(&self, before: Option<&Context>) -> Result<Context, ClientError> {
        let path = |given: &Option<PathBuf>, flag: &str, of: fn(&Context) -> &PathBuf| match (given, before) {
            // The command may run anywhere, the file is elsewhere.
            (Some(path), _) => {
                std::path::absolute(path).map_err(|error| ClientError::Usage(format!("{flag}: {error}")))
            }
            (None, Some(before)) => Ok(of(before).clone()),
            (None, None) => Err(self.incomplete(flag)),
        };
        let server = match (&self.server, before) {
            (Some(server), _) => server.to_string().trim_end_matches('/').to_owned(),
            (None, Some(before)) => before.server.clone(),
            (None, None) => return Err(self.incomplete("--server")),
        };
        Ok(Context {
            server,
            ca: path(&self.ca, "--ca", |context| &context.ca)?,
            cert: path(&self.cert, "--cert", |context| &context.cert)?,
            key: path(&self.key, "--key", |context| &context.key)?,
            namespace: self.place.namespace.clone().or_else(|| before.and_then(|before| before.namespace.clone())),
        })
    }

    fn incomplete(&self, flag: &str) -> ClientError {
        ClientError::Usage(format!("context {} is new: it takes {flag} too (--server, --ca, --cert, --key)", self.name))
    }
}

/// A name that can be typed, without quotes in any shell.
fn context_name(text: &str) -> Result<String, String> {
    let wrong = || "it takes a name of a-z, A-Z, 0-9 and . _ - @ / :, that does not begin with -".to_owned();
    is_plain(text).then(|| text.to_owned()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::cli::client::contexts::Contexts;

    fn args(name: &str) -> SetContextArgs {
        SetContextArgs {
            name: name.to_owned(),
            server: Some(server("https://gate.example:8443").unwrap()),
            ca: Some("/certs/ca.pem".into()),
            cert: Some(format!("/certs/{name}.pem").into()),
            key: Some(format!("/certs/{name}-key.pem").into()),
            place: NamespaceArgs::default(),
        }
    }

    #[test]
    fn contexts_are_saved_changed_listed_and_deleted() {
        let mut file = ContextFile { path: None, contexts: Contexts::default() };
        assert_eq!(file.set(&args("dev")).unwrap(), "context dev is saved, and the current one");
        assert_eq!(file.set(&args("prod")).unwrap(), "context prod is saved");
        let change = SetContextArgs {
            server: None,
            ca: None,
            cert: None,
            key: None,
            place: NamespaceArgs { namespace: Some("shop".to_owned()) },
            ..args("prod")
        };
        assert_eq!(file.set(&change).unwrap(), "context prod is changed");
        insta::assert_snapshot!("contexts", file.table().render(Paint::Plain));
        assert_eq!(file.delete("dev").unwrap(), "context dev is deleted; no context is the current one");
        assert_eq!(file.delete("dev").unwrap_err().exit_code(), 2);
        assert_eq!(file.names(), ["prod"]);
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("dev.pem"), "").unwrap();
        let mut file = ContextFile { path: Some(directory.path().join("config.yaml")), contexts: Contexts::default() };
        file.set(&SetContextArgs { cert: Some(directory.path().join("dev.pem")), ..args("dev") }).unwrap();
        let warnings = ["warning: --ca: there is no /certs/ca.pem", "warning: --key: there is no /certs/dev-key.pem"];
        assert_eq!(file.missing("dev").unwrap(), warnings);
        // Paths in the file start where it is.
        file.contexts.contexts.get_mut("dev").unwrap().ca = "dev.pem".into();
        assert_eq!(file.missing("dev").unwrap(), warnings[1..]);
    }

    #[test]
    fn a_new_context_is_complete() {
        let mut file = ContextFile { path: None, contexts: Contexts::default() };
        let error = file.set(&SetContextArgs { key: None, ..args("dev") }).unwrap_err();
        assert!(error.to_string().contains("--key") && error.exit_code() == 2, "{error}");
        for bad in ["", "-x", "a b", "a\nb", "ü", "$(reboot)", "a;b", "`a`", "a'b", "*"] {
            assert!(context_name(bad).is_err(), "{bad:?}");
        }
        assert!(context_name("me@prod.example:8443/Shop_1").is_ok());
    }
}
