//! Go's syntax of regular expressions, in that of the crate `regex`.
//!
//! Both are RE2's children. What they write differently, such as `\Q…\E` and octal numbers, is rewritten; what one
//! reads in another way, such as `\d` and nested brackets, is spelled out; what Go refuses is undefined.

mod class;
mod escape;
mod repeat;

use super::Stop;
use crate::policy::rego::deadline::Deadline;

/// The states of any character but some, which UTF-8 has several bytes for.
const ANY_STATES: usize = 12;

/// How many states an expression may have, about: to compile so many takes some milliseconds.
const MOST_STATES: usize = 20_000;

/// A pattern for the crate `regex`.
pub(super) struct Translated {
    pub(super) pattern: String,
    /// The names of its groups, empty for those without one and for the first, which is the whole.
    pub(super) names: Vec<String>,
    /// About how many states it has.
    pub(super) states: usize,
}

pub(super) fn translate(pattern: &str, deadline: &Deadline) -> Result<Translated, Stop> {
    let mut translator = Translator {
        deadline,
        rest: pattern,
        out: String::new(),
        names: vec![String::new()],
        flags: Flags::default(),
        groups: vec![Group::default()],
        folding: 0,
    };
    while !translator.rest.is_empty() {
        deadline.check()?;
        translator.step()?;
        too_large(translator.group().states.saturating_add(translator.folding))?;
    }
    let Translator { out, names, groups, .. } = translator;
    let [whole] = groups.as_slice() else { return Err(Stop::Undefined) };
    Ok(Translated { pattern: out, names, states: whole.states })
}

/// An error if an expression of so many states would take too long to compile.
fn too_large(states: usize) -> Result<(), Stop> {
    if states > MOST_STATES { Err(Stop::unsupported("a regular expression that is too large")) } else { Ok(()) }
}

struct Translator<'a> {
    deadline: &'a Deadline,
    rest: &'a str,
    out: String,
    names: Vec<String>,
    flags: Flags,
    /// The groups that are open; the first is the whole.
    groups: Vec<Group>,
    /// What ignoring the case of classes adds to the time that compiling takes, in states; a search takes no longer.
    folding: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own in a pattern")]
struct Flags {
    fold: bool,
    lines: bool,
    dot_all: bool,
    lazy: bool,
}

#[derive(Default)]
struct Group {
    /// Where it begins in what was written.
    begin: usize,
    states: usize,
    repeats: u32,
    flags: Flags,
    /// What a repetition would repeat.
    last: Option<Atom>,
}

/// Something that can be repeated: where it stands in what was written, and what it costs.
#[derive(Clone, Copy)]
struct Atom {
    begin: usize,
    end: usize,
    states: usize,
    /// How often something is repeated in it, in all.
    repeats: u32,
    is_repeated: bool,
    /// Whether a repetition that followed at once would be the second.
    is_closed: bool,
}

impl Translator<'_> {
    fn step(&mut self) -> Result<(), Stop> {
        let Some(next) = self.rest.chars().next() else { return Ok(()) };
        match next {
            '(' => self.open(),
            ')' => self.close(),
            '|' => {
                self.take(1);
                self.out.push('|');
                let group = self.group();
                group.last = None;
                group.states = group.states.saturating_add(1);
                Ok(())
            }
            '^' | '$' => {
                self.take(1);
                self.atom(next.encode_utf8(&mut [0; 4]), 1);
                Ok(())
            }
            '.' => {
                self.take(1);
                self.atom(".", ANY_STATES);
                Ok(())
            }
            '[' => self.class(),
            '*' | '+' | '?' => {
                self.take(1);
                self.repeat(next.encode_utf8(&mut [0; 4]), 0)
            }
            '{' => self.counted(),
            '\\' => self.escape(),
            _ => {
                self.take(next.len_utf8());
                self.literal(next);
                Ok(())
            }
        }
    }

    fn take(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn group(&mut self) -> &mut Group {
        // The whole is never closed.
        if self.groups.is_empty() {
            self.groups.push(Group::default());
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    fn literal(&mut self, character: char) {
        let states = if self.flags.fold { 4 * character.len_utf8() } else { character.len_utf8() };
        self.atom(&escaped(character), states);
    }

    fn atom(&mut self, text: &str, states: usize) {
        let begin = self.out.len();
        self.out.push_str(text);
        let end = self.out.len();
        self.push(Atom { begin, end, states, repeats: 0, is_repeated: false, is_closed: false });
    }

    fn push(&mut self, atom: Atom) {
        let group = self.group();
        group.states = group.states.saturating_add(atom.states);
        group.repeats = group.repeats.max(atom.repeats);
        group.last = Some(atom);
    }

    fn open(&mut self) -> Result<(), Stop> {
        self.take(1);
        let begin = self.out.len();
        let outer = self.flags;
        let mut name = "";
        let named = self.rest.starts_with("?P<") || self.rest.starts_with("?<");
        if named {
            let start = self.rest.find('<').map_or(0, |at| at + 1);
            let (found, rest) = self.rest[start..].split_once('>').ok_or(Stop::Undefined)?;
            let fits = found.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if found.is_empty() || !fits {
                return Err(Stop::Undefined);
            }
            (name, self.rest) = (found, rest);
        } else if self.eat("?") {
            let opens = self.read_flags()?;
            self.out.push_str(&self.flags.written(if opens { ":" } else { ")" }));
            if opens {
                self.groups.push(Group { begin, flags: outer, ..Group::default() });
            } else {
                let group = self.group();
                group.states = group.states.saturating_add(1);
                if let Some(last) = &mut group.last {
                    // A repetition behind it still means what is in front of it.
                    last.is_closed = false;
                }
            }
            return Ok(());
        }
        self.names.push(name.to_owned());
        self.out.push('(');
        self.groups.push(Group { begin, flags: outer, ..Group::default() });
        Ok(())
    }

    /// Reads flags up to the colon that opens a group, or to the bracket behind them.
    fn read_flags(&mut self) -> Result<bool, Stop> {
        let (mut on, mut saw) = (true, false);
        loop {
            let next = self.rest.chars().next().ok_or(Stop::Undefined)?;
            self.take(next.len_utf8());
            match next {
                'i' => self.flags.fold = on,
                'm' => self.flags.lines = on,
                's' => self.flags.dot_all = on,
                'U' => self.flags.lazy = on,
                '-' if on => (on, saw) = (false, false),
                ':' | ')' if on || saw => return Ok(next == ':'),
                _ => return Err(Stop::Undefined),
            }
            saw |= next != '-';
        }
    }

    fn close(&mut self) -> Result<(), Stop> {
        self.take(1);
        if self.groups.len() < 2 {
            return Err(Stop::Undefined);
        }
        let Some(group) = self.groups.pop() else { return Err(Stop::Undefined) };
        self.out.push(')');
        self.flags = group.flags;
        let end = self.out.len();
        let (begin, states, repeats) = (group.begin, group.states + 2, group.repeats);
        self.push(Atom { begin, end, states, repeats, is_repeated: false, is_closed: false });
        Ok(())
    }
}

impl Flags {
    /// All of them, those that are on and those that are off.
    fn written(self, end: &str) -> String {
        let flags = [('i', self.fold), ('m', self.lines), ('s', self.dot_all), ('U', self.lazy)];
        let those = |wanted: bool| flags.iter().filter(move |(_, on)| *on == wanted).map(|(flag, _)| *flag);
        let (on, off): (String, String) = (those(true).collect(), those(false).collect());
        let dash = if off.is_empty() { "" } else { "-" };
        format!("(?{on}{dash}{off}{end}")
    }
}

/// A character that stands for itself wherever it is.
fn escaped(character: char) -> String {
    format!("\\x{{{:X}}}", u32::from(character))
}
