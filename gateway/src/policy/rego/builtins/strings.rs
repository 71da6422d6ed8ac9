//! `strings.*` and its kin.

use super::answer::Items;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::sprintf::sprintf;
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("glob.quote_meta", quote_meta),
    ("indexof_n", indexof_n),
    ("sprintf", format),
    ("strings.any_prefix_match", |context, arguments| {
        any_match(context, arguments, |text, affix| text.starts_with(affix))
    }),
    ("strings.any_suffix_match", |context, arguments| {
        any_match(context, arguments, |text, affix| text.ends_with(affix))
    }),
    ("strings.count", count),
    ("strings.split_n", split_n),
];

fn format(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(format), Term::Array(values)] = arguments else { return Err(Stop::Undefined) };
    Ok(Term::String(sprintf(format, values, context.limit, &context.deadline)?))
}

/// Whether any of the texts begins, or ends, with any of the affixes.
fn any_match(context: &mut Context, arguments: &[Term], fits: fn(&str, &str) -> bool) -> Answer {
    let [texts, affixes] = arguments else { return Err(Stop::Undefined) };
    let (texts, affixes) = (strings(texts)?, strings(affixes)?);
    for text in &texts {
        context.deadline.check()?;
        for affixes in affixes.chunks(64) {
            context.deadline.check()?;
            if affixes.iter().any(|affix| fits(text, affix)) {
                return Ok(Term::Bool(true));
            }
        }
    }
    Ok(Term::Bool(false))
}

/// A text, or the texts of an array or a set.
fn strings(value: &Term) -> Result<Vec<&str>, Stop> {
    let members = match value {
        Term::String(_) => std::slice::from_ref(value),
        _ => value.members().ok_or(Stop::Undefined)?,
    };
    let texts = members.iter().map(|member| match member {
        Term::String(text) => Ok(text.as_str()),
        _ => Err(Stop::Undefined),
    });
    texts.collect()
}

fn count(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text), Term::String(part)] = arguments else { return Err(Stop::Undefined) };
    // An empty part is before and after each character.
    let count = if part.is_empty() { text.chars().count() + 1 } else { text.matches(part).count() };
    Ok(i128::try_from(count).unwrap_or(i128::MAX).into())
}

/// The places, in characters, at which a text begins within another; they may overlap.
fn indexof_n(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text), Term::String(part)] = arguments else { return Err(Stop::Undefined) };
    if part.is_empty() {
        return Err(Stop::Undefined);
    }
    let mut found = Items::new(context);
    let first = part.chars().next().map_or(0, char::len_utf8);
    let (mut from, mut place, mut counted) = (0, 0_i128, 0);
    while let Some(skipped) = text[from..].find(part.as_str()) {
        let at = from + skipped;
        place += i128::try_from(text[counted..at].chars().count()).unwrap_or(i128::MAX);
        found.add(place.into(), 2)?;
        (counted, from) = (at, at + first);
    }
    Ok(found.array())
}

/// The first `n` parts; the last ones, where `n` is negative.
fn split_n(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text), Term::String(delimiter), n] = arguments else { return Err(Stop::Undefined) };
    let n = n.as_integer().ok_or(Stop::Undefined)?;
    let most = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    let count = if delimiter.is_empty() { text.chars().count() } else { text.matches(delimiter.as_str()).count() + 1 };
    let skipped = if n < 0 { count.saturating_sub(most) } else { 0 };
    let mut parts = Items::new(context);
    // Between two characters, but not before the first and after the last.
    if delimiter.is_empty() {
        for character in text.chars().skip(skipped).take(most) {
            parts.text(character)?;
        }
    } else {
        for part in text.split(delimiter.as_str()).skip(skipped).take(most) {
            parts.text(part)?;
        }
    }
    Ok(parts.array())
}

fn quote_meta(context: &mut Context, arguments: &[Term]) -> Answer {
    const META: &[char] = &['*', '?', '\\', '[', ']', '{', '}'];
    let [Term::String(pattern)] = arguments else { return Err(Stop::Undefined) };
    context.within(pattern.len() + pattern.matches(META).count())?;
    let mut quoted = String::new();
    for character in pattern.chars() {
        if META.contains(&character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    Ok(Term::String(quoted))
}
