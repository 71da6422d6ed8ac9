//! JSON as Go writes it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::de::IgnoredAny;

use super::answer::Text;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::EvalError;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("json.marshal_with_options", marshal_with_options)];

/// A value of a JSON document; undefined if it is none.
pub(super) fn read(context: &Context, text: &str) -> Answer {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| Stop::Undefined)?;
    Ok(Term::parse(text.as_bytes(), &context.deadline)?.without_repeats())
}

/// An object's key as JSON takes it.
pub(super) fn key(term: &Term, context: &Context) -> Result<String, EvalError> {
    if let Term::String(text) = term {
        return Ok(text.clone());
    }
    let mut out = Text::new(context);
    Style::Compact.write(term, &mut out, 0)?;
    Ok(out.into_string())
}

fn marshal_with_options(context: &mut Context, arguments: &[Term]) -> Answer {
    let [value, Term::Object(options)] = arguments else { return Err(Stop::Undefined) };
    let (mut prefix, mut indent, mut pretty) = ("", "\t", None);
    let mut implied = false;
    for option in options {
        match option {
            (Term::String(name), Term::String(text)) if name == "prefix" => (prefix, implied) = (text, true),
            (Term::String(name), Term::String(text)) if name == "indent" => (indent, implied) = (text, true),
            (Term::String(name), Term::Bool(wanted)) if name == "pretty" => pretty = Some(*wanted),
            _ => return Err(Stop::Undefined),
        }
    }
    let mut out = Text::new(context);
    let style = if pretty.unwrap_or(implied) { Style::Pretty { prefix, indent } } else { Style::Compact };
    if let Style::Pretty { prefix, .. } = style {
        out.push(prefix)?;
    }
    style.write(value, &mut out, 0)?;
    Ok(out.term())
}

#[derive(Clone, Copy)]
enum Style<'a> {
    Compact,
    Pretty { prefix: &'a str, indent: &'a str },
}

impl Style<'_> {
    fn write(self, value: &Term, out: &mut Text<'_>, depth: usize) -> Result<(), EvalError> {
        match value {
            Term::Array(items) | Term::Set(items) => {
                out.push("[")?;
                for (index, item) in items.iter().enumerate() {
                    self.begin(out, index, depth + 1)?;
                    self.write(item, out, depth + 1)?;
                }
                self.end(out, items.len(), depth)?;
                out.push("]")
            }
            Term::Object(pairs) => self.object(pairs, out, depth),
            Term::String(text) => out.push(&quoted(text)),
            scalar => out.push(&scalar.to_string()),
        }
    }

    fn object(self, pairs: &[(Term, Term)], out: &mut Text<'_>, depth: usize) -> Result<(), EvalError> {
        let mut sorted = BTreeMap::new();
        for (name, value) in pairs {
            sorted.insert(key(name, out.context())?, value);
        }
        out.push("{")?;
        for (index, (name, value)) in sorted.iter().enumerate() {
            self.begin(out, index, depth + 1)?;
            out.push(&quoted(name))?;
            out.push(if matches!(self, Self::Compact) { ":" } else { ": " })?;
            self.write(value, out, depth + 1)?;
        }
        self.end(out, sorted.len(), depth)?;
        out.push("}")
    }

    /// What stands before an item.
    fn begin(self, out: &mut Text<'_>, index: usize, depth: usize) -> Result<(), EvalError> {
        if index > 0 {
            out.push(",")?;
        }
        self.line(out, depth)
    }

    /// What stands behind the last item.
    fn end(self, out: &mut Text<'_>, items: usize, depth: usize) -> Result<(), EvalError> {
        if items == 0 { Ok(()) } else { self.line(out, depth) }
    }

    fn line(self, out: &mut Text<'_>, depth: usize) -> Result<(), EvalError> {
        let Self::Pretty { prefix, indent } = self else { return Ok(()) };
        out.push("\n")?;
        out.push(prefix)?;
        for _ in 0..depth {
            out.push(indent)?;
        }
        Ok(())
    }
}

/// A text as Go's `encoding/json` writes it, which is safe within HTML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(character)).unwrap_or_default();
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
