//! Classes of characters. Those with names are of ASCII, unless Unicode names them.

use regex_syntax::hir::{Class, HirKind};

use super::{ANY_STATES, Stop, Translator, escaped, too_large};

/// How many characters of a class that ignores case take as long to compile as a state: each is looked up on its own.
const FOLDED_PER_STATE: usize = 64;

/// How many characters there are.
const ALL: usize = 0x11_0000;

/// About how many states a class of Unicode's has.
const UNICODE_STATES: usize = 400;

/// The names of Unicode's scripts that are as short as the codes that Go does not take.
const SHORT_SCRIPTS: [&str; 5] = ["cham", "kawi", "lisu", "thai", "toto"];

/// What `\d` and the like stand for, and within brackets `[:digit:]` and the like.
const PERL: [(&str, &str); 3] = [("d", "0-9"), ("s", r"\x09\x0A\x0C\x0D\x20"), ("w", "0-9A-Za-z_")];
const POSIX: [(&str, &str); 14] = [
    ("alnum", "0-9A-Za-z"),
    ("alpha", "A-Za-z"),
    ("ascii", r"\x00-\x7F"),
    ("blank", r"\x09\x20"),
    ("cntrl", r"\x00-\x1F\x7F"),
    ("digit", "0-9"),
    ("graph", r"\x21-\x7E"),
    ("lower", "a-z"),
    ("print", r"\x20-\x7E"),
    ("punct", r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E"),
    ("space", r"\x09-\x0D\x20"),
    ("upper", "A-Z"),
    ("word", "0-9A-Za-z_"),
    ("xdigit", "0-9A-Fa-f"),
];

impl Translator<'_> {
    /// A class in brackets.
    pub(super) fn class(&mut self) -> Result<(), Stop> {
        self.take(1);
        let mut written = String::from("[");
        let mut states = 1;
        if self.eat("^") {
            written.push('^');
            states = ANY_STATES;
        }
        let mut width = 0;
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            self.deadline.check()?;
            first = false;
            if let Some(class) = self.posix_class()? {
                written.push_str(&class.written);
                states += class.states;
                width += class.width;
            } else if let Some(class) = self.named_class()? {
                written.push_str(&class.written);
                states += class.states;
                width += class.width;
            } else {
                let (from, to) = self.range()?;
                written.extend([&escaped(from), "-", &escaped(to)]);
                states += if self.flags.fold || !to.is_ascii() { 4 } else { 1 };
                width += span(from, to);
            }
            width = width.min(ALL);
            too_large(states + self.folding)?;
        }
        self.take(1);
        written.push(']');
        self.fold(width);
        self.atom(&written, states);
        Ok(())
    }

    /// Counts a class of so many characters that are folded, if they are.
    fn fold(&mut self, width: usize) {
        if self.flags.fold {
            self.folding = self.folding.saturating_add(width / FOLDED_PER_STATE);
        }
    }

    /// A character, or two and all between them.
    fn range(&mut self) -> Result<(char, char), Stop> {
        let from = self.character()?;
        let more = self.rest.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && !rest.starts_with(']'));
        if !more {
            return Ok((from, from));
        }
        self.take(1);
        let to = self.character()?;
        if to < from { Err(Stop::Undefined) } else { Ok((from, to)) }
    }

    fn posix_class(&mut self) -> Result<Option<Named>, Stop> {
        let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else {
            return Ok(None);
        };
        let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
        let (_, class) = POSIX.iter().find(|(known, _)| *known == name).ok_or(Stop::Undefined)?;
        self.rest = rest;
        Ok(Some(Named::ascii(class, negated)))
    }

    /// `\d`, `\pL` and the like.
    pub(super) fn named_class(&mut self) -> Result<Option<Named>, Stop> {
        let Some(name) = self.rest.strip_prefix('\\').and_then(|rest| rest.get(..1)) else { return Ok(None) };
        if name.eq_ignore_ascii_case("p") {
            self.take(2);
            return self.unicode_class(name == "P").map(Some);
        }
        let Some((known, class)) = PERL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) else {
            return Ok(None);
        };
        self.take(2);
        Ok(Some(Named::ascii(class, name != *known)))
    }

    /// A general category or a script of Unicode.
    fn unicode_class(&mut self, negated: bool) -> Result<Named, Stop> {
        let name = if self.eat("{") {
            let (name, rest) = self.rest.split_once('}').ok_or(Stop::Undefined)?;
            self.rest = rest;
            name.to_owned()
        } else {
            self.next()?.to_string()
        };
        let (name, negated) = name.strip_prefix('^').map_or((name.as_str(), negated), |name| (name, !negated));
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_- ".contains(&byte)) {
            return Err(Stop::Undefined);
        }
        let is_code = name.len() == 4 && !SHORT_SCRIPTS.contains(&name.to_ascii_lowercase().as_str());
        let letter = if negated { 'P' } else { 'p' };
        let class = |property: &str| format!("\\p{{{property}={name}}}");
        let category = width(&class("gc")).map(|width| ("gc", width));
        let found = category.or_else(|| Some("sc").filter(|_| !is_code).and_then(|sc| Some((sc, width(&class(sc))?))));
        let (property, width) = found.ok_or(Stop::Undefined)?;
        let written = format!("\\{letter}{{{property}={name}}}");
        // It is folded before it is negated.
        self.fold(width);
        Ok(Named { written, states: UNICODE_STATES, width: if negated { ALL - width } else { width } })
    }
}

/// A class with a name.
pub(super) struct Named {
    /// As it stands within brackets.
    pub(super) written: String,
    pub(super) states: usize,
    /// About how many characters are in it.
    width: usize,
}

impl Named {
    /// Of some characters of ASCII, or of all others.
    fn ascii(class: &str, negated: bool) -> Self {
        if negated {
            Self { written: format!("[^{class}]"), states: ANY_STATES, width: ALL }
        } else {
            Self { written: class.to_owned(), states: 1, width: 128 }
        }
    }
}

/// How many characters a class of Unicode's has, if there is one.
fn width(class: &str) -> Option<usize> {
    let HirKind::Class(Class::Unicode(class)) = regex_syntax::parse(class).ok()?.into_kind() else { return None };
    Some(class.iter().map(|range| span(range.start(), range.end())).sum())
}

fn span(from: char, to: char) -> usize {
    usize::try_from(u32::from(to) - u32::from(from) + 1).unwrap_or(ALL)
}
