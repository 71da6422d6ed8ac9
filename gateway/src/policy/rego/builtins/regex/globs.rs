//! Whether two globs have a text in common, as OPA's library finds it.

use super::{Answer, Context, Stop};
use crate::policy::rego::EvalError;
use crate::policy::rego::term::Term;

/// How many tokens two globs may have together: the search is as deep as they are long.
const MOST_TOKENS: usize = 1_000;

/// How many characters and ranges the sets of a glob may list.
const MOST_RANGES: usize = 10_000;

pub(super) fn globs_match(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(a), Term::String(b)] = arguments else { return Err(Stop::Undefined) };
    let (a, b) = (simplified(tokens(a, context)?), simplified(tokens(b, context)?));
    if a.len() + b.len() > MOST_TOKENS {
        return Err(too_many_tokens());
    }
    let Some((a, b)) = trimmed(&a, &b) else { return Ok(Term::Bool(false)) };
    let found = Search { context }.normal(a, b)?;
    Ok(found.into())
}

fn too_many_tokens() -> Stop {
    Stop::unsupported(format!("regex.globs_match with more than {MOST_TOKENS} tokens"))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Character(char),
    Dot,
    Set(Set),
}

/// A set of characters: ranges in order, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Set(Vec<(char, char)>);

impl Set {
    fn of(mut ranges: Vec<(char, char)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(char, char)> = Vec::new();
        for (from, to) in ranges {
            match merged.last_mut() {
                Some((_, last)) if from <= *last || (*last..=from).nth(1) == Some(from) => *last = to.max(*last),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    fn contains(&self, character: char) -> bool {
        let next = self.0.partition_point(|(_, to)| *to < character);
        self.0.get(next).is_some_and(|(from, _)| *from <= character)
    }

    fn meets(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some((from, to)), Some((other_from, other_to))) = (ours.peek(), theirs.peek()) {
            if to < other_from {
                ours.next();
            } else if other_to < from {
                theirs.next();
            } else {
                return true;
            }
        }
        false
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    None,
    Plus,
    Star,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    flag: Flag,
}

impl Token {
    fn fits(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Dot, _) | (_, Kind::Dot) => true,
            (Kind::Character(a), Kind::Character(b)) => a == b,
            (Kind::Character(character), Kind::Set(set)) | (Kind::Set(set), Kind::Character(character)) => {
                set.contains(*character)
            }
            (Kind::Set(a), Kind::Set(b)) => a.meets(b),
        }
    }

    fn is_plain(&self) -> bool {
        self.flag == Flag::None
    }
}

fn tokens(text: &str, context: &Context) -> Result<Vec<Token>, Stop> {
    let mut characters = Characters { all: text.chars().collect(), at: 0, ranges: 0 };
    let mut tokens = Vec::new();
    while let Some((character, escaped)) = characters.next()? {
        context.deadline.check()?;
        if tokens.len() == MOST_TOKENS {
            return Err(too_many_tokens());
        }
        let kind = match character {
            _ if escaped => Kind::Character(character),
            '.' => Kind::Dot,
            '[' => Kind::Set(characters.set(context)?),
            ']' | '+' | '*' => return Err(Stop::Undefined),
            _ => Kind::Character(character),
        };
        let flag = match characters.peek() {
            Some('+') => Flag::Plus,
            Some('*') => Flag::Star,
            // A backslash that ends the text is refused wherever it is met.
            _ => Flag::None,
        };
        characters.at += usize::from(flag != Flag::None);
        tokens.push(Token { kind, flag });
    }
    Ok(tokens)
}

struct Characters {
    all: Vec<char>,
    at: usize,
    /// How many characters and ranges were in sets.
    ranges: usize,
}

impl Characters {
    fn peek(&self) -> Option<char> {
        self.all.get(self.at).copied()
    }

    /// The next character, and whether a backslash stands before it.
    fn next(&mut self) -> Result<Option<(char, bool)>, Stop> {
        let Some(first) = self.peek() else { return Ok(None) };
        self.at += 1;
        if first != '\\' {
            return Ok(Some((first, false)));
        }
        let escaped = self.peek().ok_or(Stop::Undefined)?;
        self.at += 1;
        Ok(Some((escaped, true)))
    }

    /// The characters up to the bracket that closes a set.
    fn set(&mut self, context: &Context) -> Result<Set, Stop> {
        let mut ranges = Vec::new();
        let mut before = None;
        while let Some((character, escaped)) = self.next()? {
            context.deadline.check()?;
            self.ranges += 1;
            if self.ranges > MOST_RANGES {
                let problem = format!("regex.globs_match with sets of more than {MOST_RANGES} characters and ranges");
                return Err(Stop::unsupported(problem));
            }
            match character {
                ']' if !escaped => return Ok(Set::of(ranges)),
                '-' if !escaped => {
                    let from = before.take().ok_or(Stop::Undefined)?;
                    if self.at + 1 >= self.all.len() {
                        return Err(Stop::Undefined);
                    }
                    let (to, escaped) = self.next()?.ok_or(Stop::Undefined)?;
                    if to < from || !escaped && matches!(to, ']' | '-') {
                        return Err(Stop::Undefined);
                    }
                    ranges.push((from, to));
                }
                _ => {
                    ranges.push((character, character));
                    before = Some(character);
                }
            }
        }
        Err(Stop::Undefined)
    }
}

/// Without a repetition that follows one of the same.
fn simplified(tokens: Vec<Token>) -> Vec<Token> {
    let mut simple: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match simple.last_mut() {
            Some(last) if !last.is_plain() && !token.is_plain() && last.kind == token.kind => {
                if token.flag == Flag::Plus {
                    last.flag = Flag::Plus;
                }
            }
            _ => simple.push(token),
        }
    }
    simple
}

/// Without what both begin and end with; `None` if that differs. One token is left on either side.
fn trimmed<'a>(a: &'a [Token], b: &'a [Token]) -> Option<(&'a [Token], &'a [Token])> {
    let plain = |(a, b): &(&Token, &Token)| a.is_plain() && b.is_plain();
    let common = |a: &mut dyn Iterator<Item = (&Token, &Token)>| {
        let mut count = 0;
        for (a, b) in a.take_while(plain) {
            a.fits(b).then_some(())?;
            count += 1;
        }
        Some(count)
    };
    let front = common(&mut a.iter().zip(b))?.max(1) - 1;
    let (a, b) = (&a[front..], &b[front..]);
    let back = common(&mut a.iter().rev().zip(b.iter().rev()))?.max(1) - 1;
    Some((&a[..a.len() - back], &b[..b.len() - back]))
}

struct Search<'a> {
    context: &'a Context,
}

impl Search<'_> {
    fn normal(&mut self, a: &[Token], b: &[Token]) -> Result<bool, EvalError> {
        self.context.deadline.check()?;
        for (index, (first, second)) in a.iter().zip(b).enumerate() {
            if !(first.is_plain() && second.is_plain()) {
                return self.special(&a[index..], &b[index..]);
            }
            if !first.fits(second) {
                return Ok(false);
            }
        }
        Ok(a.len() == b.len())
    }

    fn special(&mut self, a: &[Token], b: &[Token]) -> Result<bool, EvalError> {
        let (repeated, other) = if a[0].is_plain() { (b, a) } else { (a, b) };
        let is_plus = repeated[0].flag == Flag::Plus;
        if !is_plus {
            return self.star(repeated, other);
        }
        if !repeated[0].fits(&other[0]) {
            return Ok(false);
        }
        Ok(self.star(repeated, &other[1..])? || !other[0].is_plain() && self.normal(&repeated[1..], other)?)
    }

    /// The repeated token takes in those of the other, up to one that fits what follows it.
    fn star(&mut self, repeated: &[Token], other: &[Token]) -> Result<bool, EvalError> {
        let next = repeated.get(1);
        for (index, token) in other.iter().enumerate() {
            self.context.deadline.check()?;
            if next.is_some_and(|next| next.fits(token)) && self.normal(&repeated[1..], &other[index..])? {
                return Ok(true);
            }
            if !repeated[0].fits(token) {
                return Ok(false);
            }
        }
        Ok(next.is_none())
    }
}
