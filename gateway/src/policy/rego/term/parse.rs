//! Reads the values that a module hands over.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::{MOST_LEVELS, Number, Term};
use crate::policy::rego::EvalError;
use crate::policy::rego::deadline::Deadline;

/// How many values are read between two looks at the clock.
const UNTIMED: u32 = 64;

impl Term {
    /// Reads the notation of `opa_value_dump`: JSON, with `{1,2}` and `set()` for sets and any value as a key. It takes
    /// n log n steps, and ends at the deadline.
    pub(in crate::policy::rego) fn parse(text: &[u8], deadline: &Deadline) -> Result<Self, EvalError> {
        let mut parser = Parser { text, at: 0, read: 0, deadline };
        let term = parser.term(MOST_LEVELS)?;
        if parser.peek().is_some() {
            return Err(broken("more than one value"));
        }
        Ok(term)
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// How many values were read.
    read: u32,
    deadline: &'a Deadline,
}

impl Parser<'_> {
    fn term(&mut self, depth: usize) -> Result<Term, EvalError> {
        self.read = self.read.wrapping_add(1);
        if self.read.is_multiple_of(UNTIMED) {
            self.deadline.check()?;
        }
        let depth = depth.checked_sub(1).ok_or_else(|| broken("a value that is nested too deeply"))?;
        match self.peek().ok_or_else(|| broken("an unfinished value"))? {
            b'"' => self.string().map(Term::String),
            b'[' => self.array(depth),
            b'{' => self.braces(depth),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Term, EvalError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.eat(b']') {
            self.separator(items.is_empty())?;
            items.push(self.term(depth)?);
        }
        Ok(Term::Array(items))
    }

    /// An object, or a set that is not empty.
    fn braces(&mut self, depth: usize) -> Result<Term, EvalError> {
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
        match (pairs.is_empty(), items.is_empty()) {
            (_, true) => Ok(Term::Object(sort(pairs, |(key, _)| key, self.deadline)?)),
            (true, false) => Ok(Term::Set(sort(items, |item| item, self.deadline)?)),
            (false, false) => Err(broken("a mixture of object and set")),
        }
    }

    fn separator(&mut self, first: bool) -> Result<(), EvalError> {
        if first || self.eat(b',') { Ok(()) } else { Err(broken("a missing comma")) }
    }

    fn string(&mut self) -> Result<String, EvalError> {
        let start = self.at;
        self.at += 1;
        while *self.text.get(self.at).ok_or_else(|| broken("an unfinished string"))? != b'"' {
            self.at += if self.text.get(self.at) == Some(&b'\\') { 2 } else { 1 };
        }
        self.at += 1;
        serde_json::from_slice(&self.text[start..self.at]).map_err(|_| broken("a broken string"))
    }

    fn number(&mut self) -> Result<Term, EvalError> {
        let rest = &self.text[self.at..];
        let digits = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let end = self.at + digits.count();
        let text = str::from_utf8(&self.text[self.at..end]).ok();
        self.at = end;
        text.and_then(Number::read).map(Term::Number).ok_or_else(|| broken("a broken number"))
    }

    fn word(&mut self) -> Result<Term, EvalError> {
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
        Err(broken("an unknown value"))
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

/// A value that is sorted by, and where it was before: equal ones stay in their order.
struct Sorted<'a>(&'a Term, usize);

impl Ord for Sorted<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.order(other.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Sorted<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sorted<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sorted<'_> {}

/// Sorts by [`Term::order`] until the deadline. The standard library's sorts cannot be ended on the way.
fn sort<T>(items: Vec<T>, key: impl Fn(&T) -> &Term, deadline: &Deadline) -> Result<Vec<T>, EvalError> {
    let mut sorted = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        deadline.check()?;
        sorted.insert(Sorted(key(item), index));
    }
    let places: Vec<usize> = sorted.into_iter().map(|Sorted(_, index)| index).collect();
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    Ok(places.into_iter().filter_map(|place| items[place].take()).collect())
}

fn broken(what: &str) -> EvalError {
    EvalError::Abi(format!("opa_value_dump gives {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Result<Term, EvalError> {
        Term::parse(text.as_bytes(), &Deadline::in_an_hour())
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["", "[", "[1", "[1 2]", "{1,2:3}", "\"", "\"\\", "1 2", "nul", "1e", "--1", "{\"a\":}", "[,1]"] {
            assert!(matches!(read(text), Err(EvalError::Abi(_))), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_nested_without_end_is_refused() {
        assert!(read(&"[".repeat(1 << 20)).is_err());
    }

    /// To sort again in each comparison takes the square of the steps: minutes for this text.
    #[test]
    fn sets_within_sets_are_sorted_once() {
        let nested = (0..15).fold("{1}".to_owned(), |inner, _| format!("{{[{inner},0],[{inner},1]}}"));
        assert!(nested.len() > 300_000);
        assert!(matches!(read(&nested), Ok(Term::Set(members)) if members.len() == 2));
    }

    #[test]
    fn equal_members_stay_in_their_order() {
        assert_eq!(read("{1.0,3,1,[2],1.00}").unwrap().to_string(), "{1.0, 1, 1.00, 3, [2]}");
    }

    /// A float of a text of a megabyte takes some milliseconds, so a comparison may not make it again.
    #[test]
    fn a_long_number_is_read_once() {
        let long = format!("0.5{}", "0".repeat(1 << 20));
        let Ok(Term::Number(number)) = read(&long) else { panic!("a number") };
        assert_eq!((number.text().len(), number.value()), (long.len(), 0.5));
    }

    #[test]
    fn reading_and_sorting_end_at_the_deadline() {
        let over = Deadline::after(Duration::ZERO);
        for text in [format!("[{}0]", "0,".repeat(64)), "{1,2}".to_owned(), "{\"a\":1}".to_owned()] {
            assert_eq!(Term::parse(text.as_bytes(), &over), Err(EvalError::Deadline(Duration::ZERO)), "{text}");
        }
    }
}
