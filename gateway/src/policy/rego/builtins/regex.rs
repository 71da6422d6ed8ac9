//! Regular expressions, in Go's syntax.

mod globs;
mod replace;
mod syntax;

use regex::{Regex, RegexBuilder};

use super::answer::Items;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("regex.find_n", find_n),
    ("regex.globs_match", globs::globs_match),
    ("regex.replace", replace::replace),
    ("regex.split", split),
    ("regex.template_match", template_match),
];

/// How many expressions an evaluation keeps.
const MOST_KEPT: usize = 32;

/// How many states an expression may have, times the bytes of its text. One search takes about so many steps at worst,
/// and nothing ends it on the way.
const MOST_STEPS: usize = 1 << 23;

/// The bytes that a compiled expression may take, which those that are translated do not.
const MOST_BYTES: usize = 8 << 20;

/// An expression, ready to search with.
#[derive(Clone)]
pub(in crate::policy::rego::builtins) struct Compiled {
    regex: Regex,
    /// The names of its groups, of which the first is the whole.
    names: Vec<String>,
    states: usize,
}

impl Compiled {
    /// Of a pattern, for searches in `text`.
    fn of(context: &mut Context, pattern: &str, text: &str) -> Result<Self, Stop> {
        let kept = context.regexes.get(pattern).cloned();
        let compiled = kept.map_or_else(|| Self::compile(context, pattern), Ok)?;
        if compiled.states.saturating_mul(text.len()) > MOST_STEPS {
            return Err(Stop::unsupported("a regular expression that is too large for the text that it searches"));
        }
        Ok(compiled)
    }

    fn compile(context: &mut Context, pattern: &str) -> Result<Self, Stop> {
        let translated = syntax::translate(pattern, &context.deadline)?;
        let built = RegexBuilder::new(&translated.pattern).size_limit(MOST_BYTES).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => Stop::unsupported("a regular expression that is too large"),
            _ => Stop::unsupported("a regular expression that only Go reads"),
        })?;
        let compiled = Self { regex, names: translated.names, states: translated.states };
        if context.regexes.len() < MOST_KEPT {
            context.regexes.insert(pattern.to_owned(), compiled.clone());
        }
        Ok(compiled)
    }
}

/// The first matches; all, for a negative number.
fn find_n(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(pattern), Term::String(text), n] = arguments else { return Err(Stop::Undefined) };
    let n = n.as_integer().ok_or(Stop::Undefined)?;
    let compiled = Compiled::of(context, pattern, text)?;
    let most = usize::try_from(n).unwrap_or(usize::MAX);
    let mut found = Items::new(context);
    for matched in compiled.regex.find_iter(text).take(most) {
        found.text(matched.as_str())?;
    }
    Ok(found.array())
}

/// What lies between the matches.
fn split(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(pattern), Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let compiled = Compiled::of(context, pattern, text)?;
    let mut parts = Items::new(context);
    if text.is_empty() && !pattern.is_empty() {
        parts.text("")?;
        return Ok(parts.array());
    }
    let (mut begin, mut end) = (0, 0);
    for matched in compiled.regex.find_iter(text) {
        end = matched.start();
        // An empty match in front of everything divides nothing.
        if matched.end() > 0 {
            parts.text(&text[begin..end])?;
        }
        begin = matched.end();
    }
    if end != text.len() {
        parts.text(&text[begin..])?;
    }
    Ok(parts.array())
}

/// Whether a template matches, whose parts between delimiters are patterns.
fn template_match(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(template), Term::String(text), Term::String(start), Term::String(end)] = arguments else {
        return Err(Stop::Undefined);
    };
    let (&[start], &[end]) = (start.as_bytes(), end.as_bytes()) else { return Err(Stop::Undefined) };
    let mut pattern = String::from("^");
    let (mut level, mut from, mut raw) = (0_usize, 0, 0);
    for (at, byte) in template.bytes().enumerate() {
        context.deadline.check()?;
        if byte == start {
            level += 1;
            if level == 1 {
                from = at;
            }
        } else if byte == end {
            level = level.checked_sub(1).ok_or(Stop::Undefined)?;
            if level == 0 {
                let part = &template[from + 1..at];
                syntax::translate(&format!("^{part}$"), &context.deadline)?;
                pattern.push_str(&quoted(&template[raw..from]));
                pattern.extend(["(", part, ")"]);
                raw = at + 1;
            }
        }
    }
    if level > 0 {
        return Err(Stop::Undefined);
    }
    pattern.extend([&quoted(&template[raw..]), "$"]);
    let compiled = Compiled::of(context, &pattern, text)?;
    Ok(compiled.regex.is_match(text).into())
}

/// A text as a pattern for itself.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests;
