//! Replaces what matches.

use std::collections::HashMap;

use regex::Captures;

use super::Compiled;
use crate::policy::rego::EvalError;
use crate::policy::rego::builtins::answer::Text;
use crate::policy::rego::builtins::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

/// Puts a template in place of each match: `$1`, `${1}` and `${name}` stand for its groups, `$$` for a dollar.
pub(super) fn replace(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text), Term::String(pattern), Term::String(template)] = arguments else {
        return Err(Stop::Undefined);
    };
    let compiled = Compiled::of(context, pattern, text)?;
    let names = Names::of(&compiled.names);
    let parts = parts(template, &names, context)?;
    let mut out = Text::new(context);
    let mut end = 0;
    for captures in compiled.regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        out.push(&text[end..whole.start()])?;
        for part in &parts {
            out.push(part.of(&captures))?;
        }
        end = whole.end();
    }
    out.push(&text[end..])?;
    Ok(out.term())
}

enum Part<'a> {
    Text(&'a str),
    Group(usize),
    /// The first of these groups that was passed.
    Groups(&'a [usize]),
}

impl<'a> Part<'a> {
    /// A group that is not there, or was not passed, is empty.
    fn of(&self, captures: &Captures<'a>) -> &'a str {
        let matched = match self {
            Self::Text(text) => return text,
            Self::Group(group) => captures.get(*group),
            Self::Groups(groups) => groups.iter().find_map(|group| captures.get(*group)),
        };
        matched.map_or("", |matched| matched.as_str())
    }
}

/// The groups of each name, which may be given twice.
struct Names<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> Names<'a> {
    fn of(names: &'a [String]) -> Self {
        let mut groups: HashMap<_, Vec<_>> = HashMap::new();
        for (group, name) in names.iter().enumerate() {
            groups.entry(name.as_str()).or_default().push(group);
        }
        Self(groups)
    }

    /// What a number or a name stands for.
    fn part(&self, name: &str) -> Part<'_> {
        let leads_with_zero = name.len() > 1 && name.starts_with('0');
        if name.bytes().all(|byte| byte.is_ascii_digit()) && !leads_with_zero && name.len() <= 9 {
            return name.parse().map_or(Part::Text(""), Part::Group);
        }
        Part::Groups(self.0.get(name).map_or(&[], Vec::as_slice))
    }
}

fn parts<'a>(template: &'a str, names: &'a Names<'_>, context: &Context) -> Result<Vec<Part<'a>>, EvalError> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        context.deadline.check()?;
        parts.push(Part::Text(before));
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            parts.push(Part::Text("$"));
            rest = after;
            continue;
        }
        match reference(rest) {
            Some((name, after)) => {
                parts.push(names.part(name));
                rest = after;
            }
            None => parts.push(Part::Text("$")),
        }
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// A group's name or number, in braces or as long as it goes, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let is_named = |next: char| next.is_alphabetic() || next.is_numeric() || next == '_';
    let length = inner.find(|next| !is_named(next)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(length);
    let rest = if inner.len() < text.len() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}
