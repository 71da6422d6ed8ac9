//! Rego's values, as they pass between a module and the host.

use std::cmp::Ordering;
use std::fmt;

use super::quote;

/// Values nested deeper than this are not taken apart.
const DEPTH: usize = 64;

/// A value of Rego.
///
/// Numbers keep their text: `sprintf` tells `1` from `1.0`, and neither an `i64` nor an `f64` holds all of them. The
/// members of a set and the keys of an object are in order, so that comparing two values takes no sorting again.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Term>),
    Object(Vec<(Term, Term)>),
    Set(Vec<Term>),
}

impl Term {
    /// Reads the notation of `opa_value_dump`: JSON, with `{1,2}` and `set()` for sets and any value as a key.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let mut parser = Parser { text, at: 0 };
        let term = parser.term(DEPTH)?;
        if parser.peek().is_some() {
            return Err("more than one value");
        }
        Ok(term)
    }

    /// The value as JSON, for `opa_value_parse`; sets in OPA's wider notation.
    pub(super) fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json, &|text| serde_json::Value::from(text).to_string());
        json
    }

    /// A number's value, where it is a whole one that fits.
    pub(super) fn as_i64(&self) -> Option<i64> {
        let Self::Number(text) = self else { return None };
        text.parse().ok().or_else(|| whole(text.parse().ok()?))
    }

    /// The order that OPA sorts by: by type, then by value.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => numeric(a).total_cmp(&numeric(b)),
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
            Self::Number(text) => out.push_str(text),
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
        self.write(&mut text, &quote::quoted);
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

fn numeric(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds leave out what an i64 cannot hold exactly")]
fn whole(value: f64) -> Option<i64> {
    let fits = value.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    fits.then_some(value as i64)
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

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn term(&mut self, depth: usize) -> Result<Term, &'static str> {
        let depth = depth.checked_sub(1).ok_or("a value that is nested too deeply")?;
        match self.peek().ok_or("an unfinished value")? {
            b'"' => self.string().map(Term::String),
            b'[' => self.array(depth),
            b'{' => self.braces(depth),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Term, &'static str> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.eat(b']') {
            self.separator(items.is_empty())?;
            items.push(self.term(depth)?);
        }
        Ok(Term::Array(items))
    }

    /// An object, or a set that is not empty.
    fn braces(&mut self, depth: usize) -> Result<Term, &'static str> {
        self.at += 1;
        let (mut pairs, mut items) = (Vec::new(), Vec::new());
        while !self.eat(b'}') {
            self.separator(pairs.is_empty() && items.is_empty())?;
            let key = self.term(depth)?;
            if self.eat(b':') {
                pairs.push((key, self.term(depth)?));
            } else {
                items.push(key);
            }
        }
        pairs.sort_by(|a, b| a.0.order(&b.0));
        items.sort_by(Term::order);
        match (pairs.is_empty(), items.is_empty()) {
            (_, true) => Ok(Term::Object(pairs)),
            (true, false) => Ok(Term::Set(items)),
            (false, false) => Err("a mixture of object and set"),
        }
    }

    fn separator(&mut self, first: bool) -> Result<(), &'static str> {
        if first || self.eat(b',') { Ok(()) } else { Err("a missing comma") }
    }

    fn string(&mut self) -> Result<String, &'static str> {
        let start = self.at;
        self.at += 1;
        while *self.text.get(self.at).ok_or("an unfinished string")? != b'"' {
            self.at += if self.text.get(self.at) == Some(&b'\\') { 2 } else { 1 };
        }
        self.at += 1;
        serde_json::from_slice(&self.text[start..self.at]).map_err(|_| "a broken string")
    }

    fn number(&mut self) -> Result<Term, &'static str> {
        let rest = &self.text[self.at..];
        let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let end = self.at + digits.count();
        let text = str::from_utf8(&self.text[self.at..end]).map_err(|_| "a broken number")?;
        text.parse::<f64>().map_err(|_| "a broken number")?;
        self.at = end;
        Ok(Term::Number(text.to_owned()))
    }

    fn word(&mut self) -> Result<Term, &'static str> {
        let words: [(&[u8], Term); 4] = [
            (b"null", Term::Null),
            (b"true", Term::Bool(true)),
            (b"false", Term::Bool(false)),
            (b"set()", Term::Set(Vec::new())),
        ];
        for (word, term) in words {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(term);
            }
        }
        Err("an unknown value")
    }

    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(Term::parse(dumped.as_bytes()).map(|term| term.to_string()).as_deref(), Ok(written));
        }
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["", "[", "[1", "[1 2]", "{1,2:3}", "\"", "\"\\", "1 2", "nul", "1e", "--1", "{\"a\":}", "[,1]"] {
            assert!(Term::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_nested_without_end_is_refused() {
        assert!(Term::parse("[".repeat(1 << 20).as_bytes()).is_err());
    }

    #[test]
    fn only_whole_numbers_are_whole() {
        let read = |text: &str| Term::Number(text.to_owned()).as_i64();
        assert_eq!([read("7"), read("-1e3"), read("2.0")], [Some(7), Some(-1000), Some(2)]);
        assert_eq!([read("1.5"), read("9223372036854775808"), read("1e300")], [None; 3]);
    }
}
