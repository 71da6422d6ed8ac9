//! Rego's values, as they pass between a module and the host.

mod decimal;
mod parse;

use std::cmp::Ordering;
use std::fmt;

use self::decimal::Decimal;
use super::quote;

/// How many levels a value may have; a scalar has one. A value is read, compared, written and dropped by functions that
/// call themselves for each level, so every value is bounded before it is made.
pub(super) const MOST_LEVELS: usize = 64;

/// A value of Rego.
///
/// The members of a set and the keys of an object are in order, so that comparing two values takes no sorting again.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Term>),
    Object(Vec<(Term, Term)>),
    Set(Vec<Term>),
}

/// A number as it was written: `sprintf` tells `1` from `1.0`, and neither an `i64` nor an `f64` holds all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Number {
    text: String,
    /// The nearest float. Kept, because a text of a megabyte is too long to be read again in each comparison.
    value: f64,
    /// Where its digits are, kept for the same reason.
    decimal: Decimal,
}

impl Number {
    /// Of a text that is a JSON number.
    fn read(text: &str) -> Option<Self> {
        Some(Self { text: text.to_owned(), value: text.parse().ok()?, decimal: Decimal::of(text) })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }

    /// By size, exactly: where the nearest floats are the same, the digits tell.
    fn order(&self, other: &Self) -> Ordering {
        match self.value.partial_cmp(&other.value) {
            Some(unequal @ (Ordering::Less | Ordering::Greater)) => unequal,
            _ => self.decimal.order(&self.text, &other.decimal, &other.text),
        }
    }
}

impl From<i128> for Term {
    #[expect(clippy::cast_precision_loss, reason = "the nearest float is meant; the text is exact")]
    fn from(whole: i128) -> Self {
        let text = whole.to_string();
        Self::Number(Number { value: whole as f64, decimal: Decimal::of(&text), text })
    }
}

impl From<bool> for Term {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Term {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl Term {
    /// A number that is written like this.
    pub(super) fn number(text: &str) -> Option<Self> {
        Number::read(text).map(Self::Number)
    }

    /// The value as JSON, for `opa_value_parse`; sets in OPA's wider notation.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::new();
        // A text can always be written.
        self.write(&mut json, &|text| serde_json::to_string(text).unwrap_or_default());
        json
    }

    /// A number's value, where it is a whole one that fits.
    pub(super) fn as_i64(&self) -> Option<i64> {
        let Self::Number(number) = self else { return None };
        number.text.parse().ok().or_else(|| whole(number.value))
    }

    /// An integer as OPA takes it for an argument: digits, and nothing but zeros after a point.
    pub(super) fn as_integer(&self) -> Option<i64> {
        let Self::Number(number) = self else { return None };
        integer(&number.text)
    }

    /// The value of an object's key.
    pub(super) fn get<'a>(pairs: &'a [(Self, Self)], key: &Self) -> Option<&'a Self> {
        pairs.iter().find(|(known, _)| known.equals(key)).map(|(_, value)| value)
    }

    /// Whether OPA takes both for the same value: `1` is `1.0`.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }

    /// The members of an array or a set.
    pub(super) fn members(&self) -> Option<&[Self]> {
        match self {
            Self::Array(members) | Self::Set(members) => Some(members),
            _ => None,
        }
    }

    /// Returns whether the value has at most this many levels.
    pub(super) fn has_at_most(&self, levels: usize) -> bool {
        let Some(inner) = levels.checked_sub(1) else { return false };
        match self {
            Self::Array(items) | Self::Set(items) => items.iter().all(|item| item.has_at_most(inner)),
            Self::Object(pairs) => pairs.iter().all(|(key, value)| key.has_at_most(inner) && value.has_at_most(inner)),
            _ => true,
        }
    }

    /// Without what a JSON document said before of a key that it repeats.
    pub(super) fn without_repeats(self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.into_iter().map(Self::without_repeats).collect()),
            Self::Object(pairs) => {
                let mut kept: Vec<(Self, Self)> = Vec::with_capacity(pairs.len());
                for (key, value) in pairs {
                    // They are sorted, so what is equal stands side by side.
                    kept.pop_if(|(last, _)| *last == key);
                    kept.push((key, value.without_repeats()));
                }
                Self::Object(kept)
            }
            other => other,
        }
    }

    /// The order that OPA sorts by: by type, then by value.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.order(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) | (Self::Set(a), Self::Set(b)) => lexical(a.iter(), b.iter()),
            (Self::Object(a), Self::Object(b)) => {
                lexical(a.iter().flat_map(|(key, value)| [key, value]), b.iter().flat_map(|(key, value)| [key, value]))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::String(_) => 3,
            Self::Array(_) => 4,
            Self::Object(_) => 5,
            Self::Set(_) => 6,
        }
    }

    fn write(&self, out: &mut String, quote: &dyn Fn(&str) -> String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.text),
            Self::String(text) => out.push_str(&quote(text)),
            Self::Array(items) => write_all(out, ('[', ']'), items.iter(), |out, item| item.write(out, quote)),
            Self::Set(items) if items.is_empty() => out.push_str("set()"),
            Self::Set(items) => {
                write_all(out, ('{', '}'), items.iter(), |out, item| item.write(out, quote));
            }
            Self::Object(pairs) => write_all(out, ('{', '}'), pairs.iter(), |out, (key, value)| {
                key.write(out, quote);
                out.push_str(": ");
                value.write(out, quote);
            }),
        }
    }
}

/// As OPA writes a value into text.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text, &|text| quote::quoted(text, quote::Letters::All));
        f.write_str(&text)
    }
}

fn write_all<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
    out.push(close);
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds leave out what an i64 cannot hold exactly")]
fn whole(value: f64) -> Option<i64> {
    let fits = value.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    fits.then_some(value as i64)
}

/// The integer that a text is: a sign, 19 characters at most, and zeros alone after a point.
pub(super) fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fits = !digits.is_empty() && digits.len() <= 19;
    if !fits || !whole.bytes().all(|byte| byte.is_ascii_digit()) || !fraction.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let size: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    i64::try_from(if text.starts_with('-') { -size } else { size }).ok()
}

fn lexical<'a>(mut a: impl Iterator<Item = &'a Term>, mut b: impl Iterator<Item = &'a Term>) -> Ordering {
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match a.order(b) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::policy::rego::deadline::Deadline;

    fn read(text: &str) -> Term {
        Term::parse(text.as_bytes(), &Deadline::in_an_hour()).unwrap()
    }

    #[test]
    fn a_value_is_written_as_opa_writes_it() {
        for (dumped, written) in [
            (r#"{"b":[1,2.50,null],"a":{"x":true}}"#, r#"{"a": {"x": true}, "b": [1, 2.50, null]}"#),
            (r#"{3,1,"a",null}"#, r#"{null, 1, 3, "a"}"#),
            (r#"{2:"two",10:"ten"}"#, r#"{2: "two", 10: "ten"}"#),
            ("set()", "set()"),
            ("{}", "{}"),
            ("[set(),[]]", "[set(), []]"),
            (r#""a\"\u0007\u00e9\u00a0""#, r#""a\"\aé\u00a0""#),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(read(dumped).to_string(), written);
        }
    }

    #[test]
    fn only_whole_numbers_are_whole() {
        assert_eq!(["7", "-1e3", "2.0"].map(|text| read(text).as_i64()), [Some(7), Some(-1000), Some(2)]);
        assert_eq!(["1.5", "9223372036854775808", "1e300"].map(|text| read(text).as_i64()), [None; 3]);
    }
}
