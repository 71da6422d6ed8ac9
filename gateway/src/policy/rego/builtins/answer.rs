//! What a builtin is given and what it gives.

use std::collections::HashMap;

use jiff::Timestamp;

use super::regex::Compiled;
use crate::policy::rego::EvalError;
use crate::policy::rego::deadline::Deadline;
use crate::policy::rego::term::{MOST_LEVELS, Term};

/// A builtin's value, or why there is none.
pub(in crate::policy::rego) type Answer = Result<Term, Stop>;

/// Why a builtin has no value.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::policy::rego) enum Stop {
    /// Its arguments make no sense.
    Undefined,
    /// The evaluation ends.
    Error(EvalError),
}

impl From<EvalError> for Stop {
    fn from(error: EvalError) -> Self {
        Self::Error(error)
    }
}

impl Stop {
    /// The evaluation ends because a value would be nested deeper than [`MOST_LEVELS`].
    pub(super) fn nested_too_deeply() -> Self {
        Self::unsupported(format!("a value with more than {MOST_LEVELS} levels"))
    }

    /// The evaluation ends because the gateway's form of a builtin cannot do `what`.
    pub(super) fn unsupported(what: impl Into<String>) -> Self {
        Self::Error(EvalError::Unsupported(what.into()))
    }
}

/// What a builtin may know and use beside its arguments.
pub(in crate::policy::rego) struct Context {
    /// The most bytes of a value, `budget.outputBytes`.
    pub(in crate::policy::rego) limit: usize,
    /// Host functions are not interrupted by epochs, so they check it themselves.
    pub(in crate::policy::rego) deadline: Deadline,
    /// The decision's instant.
    pub(in crate::policy::rego) now: Timestamp,
    /// Whether the module has asked for it.
    pub(in crate::policy::rego) asked_time: bool,
    /// The regular expressions that this evaluation compiled.
    pub(super) regexes: HashMap<String, Compiled>,
}

impl Context {
    pub(in crate::policy::rego) fn new(limit: usize, deadline: Deadline, now: Timestamp) -> Self {
        Self { limit, deadline, now, asked_time: false, regexes: HashMap::new() }
    }

    /// For tests, with time that suffices.
    #[cfg(test)]
    pub(super) fn of(limit: usize) -> Self {
        Self::new(limit, Deadline::in_an_hour(), Timestamp::UNIX_EPOCH)
    }

    /// An error if a value of so many bytes is too long. It is asked before the memory is taken.
    pub(in crate::policy::rego) fn within(&self, bytes: usize) -> Result<(), EvalError> {
        if bytes > self.limit { Err(EvalError::Output(self.limit)) } else { Ok(()) }
    }
}

/// A text that is built up within the limit and until the deadline.
pub(super) struct Text<'a> {
    text: String,
    context: &'a Context,
}

impl<'a> Text<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { text: String::new(), context }
    }

    pub(super) fn push(&mut self, more: &str) -> Result<(), EvalError> {
        self.context.deadline.check()?;
        self.context.within(self.text.len().saturating_add(more.len()))?;
        self.text.push_str(more);
        Ok(())
    }

    pub(super) fn context(&self) -> &'a Context {
        self.context
    }

    pub(super) fn into_string(self) -> String {
        self.text
    }

    pub(super) fn term(self) -> Term {
        Term::String(self.text)
    }
}

/// Members of an array or a set, collected within the limit and until the deadline.
pub(super) struct Items<'a> {
    members: Vec<Term>,
    bytes: usize,
    context: &'a Context,
}

impl<'a> Items<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { members: Vec::new(), bytes: 0, context }
    }

    /// Adds a text. Each member also takes its quotes and a comma.
    pub(super) fn text(&mut self, text: impl Into<String>) -> Result<(), EvalError> {
        let text = text.into();
        let bytes = text.len() + 4;
        self.add(Term::String(text), bytes)
    }

    /// Adds a value that takes about so many bytes.
    pub(super) fn add(&mut self, item: Term, bytes: usize) -> Result<(), EvalError> {
        self.context.deadline.check()?;
        self.bytes = self.bytes.saturating_add(bytes);
        self.context.within(self.bytes)?;
        self.members.push(item);
        Ok(())
    }

    pub(super) fn array(self) -> Term {
        Term::Array(self.members)
    }

    /// The guest removes what is in it twice.
    pub(super) fn set(self) -> Term {
        Term::Set(self.members)
    }
}
