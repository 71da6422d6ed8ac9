//! The forms in which answers are shown.

use std::fmt::Write;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::columns::{Columns, ago};
use super::error::ClientError;
use super::table::{Paint, Table};
use super::view::Replicas;
use crate::cli::output;
use crate::text::{escaped, invisible};

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
        Form::Yaml => Ok(output::print_escaped(&yaml(document)?)?),
        _ => Ok(output::print_json(document)?),
    }
}

/// A document as YAML without anything that a terminal obeys. One with invisible characters is written as JSON, which is
/// YAML too, and whose strings can all have escapes.
pub(super) fn yaml(document: &Value) -> Result<String, ClientError> {
    let usual = serde_saphyr::to_string(document).map_err(anyhow::Error::from)?;
    let stays = |c: char| c == '\n' || !invisible(c);
    if usual.chars().all(stays) {
        return Ok(usual);
    }
    let mut quoted = String::new();
    for c in format!("{document:#}\n").chars() {
        // Writing to a text cannot fail. YAML does not know the surrogate pairs of JSON.
        let _ = match u32::from(c) {
            _ if stays(c) => quoted.write_char(c),
            code @ 0..=0xffff => write!(quoted, "\\u{code:04x}"),
            code => write!(quoted, "\\U{code:08x}"),
        };
    }
    Ok(quoted)
}

/// Shows a table, with colours on a terminal.
pub(super) fn table(table: &Table) -> Result<(), ClientError> {
    Ok(output::print_escaped(&table.render(Paint::of_stdout()))?)
}

/// Shows one line for each name.
pub(super) fn names(names: impl IntoIterator<Item = String>) -> Result<(), ClientError> {
    Ok(output::print_escaped(&lines(names))?)
}

/// One line for each name, whatever is in it.
pub(super) fn lines(names: impl IntoIterator<Item = String>) -> String {
    names.into_iter().fold(String::new(), |lines, name| lines + &escaped(&name) + "\n")
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_name_with_a_newline_is_one_line() {
        assert_eq!(lines(["demo/web".to_owned(), "demo/a\ndemo/b".to_owned()]), "demo/web\ndemo/a\\ndemo/b\n");
    }

    #[test]
    fn yaml_is_the_same_document_whatever_is_in_it() {
        let plain = json!({"name": "web", "reason": "two\nlines", "spec": {"replicas": 3}});
        assert_eq!(yaml(&plain).unwrap(), serde_saphyr::to_string(&plain).unwrap());
        let hostile = "a\u{1b}[2K\u{9b}31m\u{202e}\u{200b}\u{2028}\u{e0041}\r\n\t\"\\ü\u{7f}: #";
        for document in [json!(hostile), json!({ hostile: [hostile, "b\u{202e}", {"c": hostile}] })] {
            let text = yaml(&document).unwrap();
            assert!(text.chars().all(|c| c == '\n' || !invisible(c)), "{text:?}");
            assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), document, "{text}");
        }
    }
}
