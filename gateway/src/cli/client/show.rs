//! The forms in which answers are shown.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::columns::{Columns, ago};
use super::error::ClientError;
use super::table::{Paint, Table};
use super::view::Replicas;
use crate::cli::output;

/// From what age on an answer is said to be old, in seconds.
const OLD: f64 = 10.0;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// What a person reads first
    Table,
    /// The same with reason, version, rollout, obstacle and age
    Wide,
    /// The gateway's answer
    Json,
    /// The same as YAML
    Yaml,
    /// NAMESPACE/NAME alone
    Name,
}

/// How to show the answer.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct FormArgs {
    /// How to show it
    #[arg(long, short, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    pub(super) output: Form,
}

/// Shows a document.
pub(super) fn document(form: Form, document: &Value) -> Result<(), ClientError> {
    match form {
        Form::Yaml => Ok(output::print(&yaml(document)?)?),
        _ => Ok(output::print_json(document)?),
    }
}

/// A document as YAML.
pub(super) fn yaml(document: &Value) -> Result<String, ClientError> {
    Ok(serde_saphyr::to_string(document).map_err(anyhow::Error::from)?)
}

/// Shows a table, with colours on a terminal.
pub(super) fn table(table: &Table) -> Result<(), ClientError> {
    Ok(output::print_escaped(&table.render(Paint::of_stdout()))?)
}

/// Shows one line for each name.
pub(super) fn names(names: impl IntoIterator<Item = String>) -> Result<(), ClientError> {
    let lines = names.into_iter().fold(String::new(), |lines, name| lines + &name + "\n");
    Ok(output::print(&lines)?)
}

/// Shows Deployments; `document` is what the forms for programs show of them.
pub(super) fn deployments(
    form: Form,
    several_namespaces: bool,
    items: &[Value],
    whole: &Value,
) -> Result<(), ClientError> {
    let views: Vec<_> = items.iter().map(Replicas::of).collect();
    match form {
        Form::Json | Form::Yaml => document(form, whole),
        Form::Name => names(views.iter().map(|one| one.workload().to_string())),
        Form::Table | Form::Wide => {
            let first = views.first().map(|one| one.namespace.as_str());
            let namespace = several_namespaces || views.iter().any(|one| Some(one.namespace.as_str()) != first);
            if !views.is_empty() {
                table(&Columns { namespace, wide: form == Form::Wide }.table(&views))?;
            }
            let oldest = views.iter().map(|one| one.age_seconds).fold(0.0, f64::max);
            if oldest >= OLD {
                output::note(&format!(
                    "this is {} old: the gateway has lost contact with Kubernetes since",
                    ago(oldest)
                ))?;
            }
            Ok(())
        }
    }
}

/// Several answers as one document, as the gateway lists them.
pub(super) fn list(items: &[Value], undecided: u64) -> Value {
    json!({ "items": items, "undecided": undecided })
}
