//! Semantic versions. Like OPA's, with a `v` in front where somebody wrote one.

use std::cmp::Ordering;

use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("semver.compare", compare), ("semver.is_valid", is_valid)];

fn is_valid(_: &mut Context, arguments: &[Term]) -> Answer {
    let [version] = arguments else { return Err(Stop::Undefined) };
    Ok(matches!(version, Term::String(text) if Version::parse(text).is_some()).into())
}

fn compare(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(a), Term::String(b)] = arguments else { return Err(Stop::Undefined) };
    let (a, b) = (Version::parse(a).ok_or(Stop::Undefined)?, Version::parse(b).ok_or(Stop::Undefined)?);
    Ok(i128::from(a.order(&b) as i8).into())
}

struct Version<'a> {
    numbers: [i64; 3],
    pre_release: &'a str,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = text.split_once('+').map_or((text, None), |(text, rest)| (text, Some(rest)));
        let (core, pre_release) = text.split_once('-').map_or((text, None), |(text, rest)| (text, Some(rest)));
        let mut parts = core.split('.');
        let mut number = || numeric(parts.next()?);
        let numbers = [number()?, number()?, number()?];
        let whole = parts.next().is_none() && metadata.is_none_or(|text| text.split('.').all(is_identifier));
        let fits = |text: &str| text.split('.').all(|part| is_identifier(part) && !has_leading_zero(part));
        (whole && pre_release.is_none_or(fits))
            .then_some(Self { numbers, pre_release: pre_release.unwrap_or_default() })
    }

    /// By the numbers, then by the parts of the pre-release; none is greater than any.
    fn order(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (self.pre_release, other.pre_release) {
            (a, b) if a == b => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => in_parts(a, b),
        })
    }
}

fn in_parts(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (a, b) = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => (a, b),
        };
        // A number is less than a text. Beyond 64 bits, all are the greatest.
        let number = |part: &str| is_decimal(part).then(|| part.parse::<i64>().unwrap_or(i64::MAX));
        let order = match (number(a), number(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.cmp(b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn numeric(part: &str) -> Option<i64> {
    (is_decimal(part) && !has_leading_zero(part)).then(|| part.parse().ok()).flatten()
}

fn is_decimal(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0') && is_decimal(part)
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
