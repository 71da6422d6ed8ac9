//! Where each of OPA's builtins is.

use std::collections::BTreeMap;
use std::fmt;

use super::{Answer, Context, Stop};
use super::{
    casts, cidr, crypto, encoding, graph, json, jwt, numbers, object, patch, print, regex, semver, strings, time,
    units, uri, uuid,
};
use crate::policy::rego::term::{MOST_LEVELS, Term};

mod in_module;
mod refused;

use self::in_module::IN_MODULE;
use self::refused::REFUSED;

/// A builtin's own code. It is given as many arguments as Rego declares, of any types.
pub(super) type Function = fn(&mut Context, &[Term]) -> Answer;

/// The builtins of a family, by the names that Rego calls them.
pub(super) type Family = &'static [(&'static str, Function)];

/// What the host has.
const FAMILIES: [Family; 18] = [
    casts::FAMILY,
    cidr::FAMILY,
    crypto::FAMILY,
    encoding::FAMILY,
    graph::FAMILY,
    json::FAMILY,
    jwt::FAMILY,
    numbers::FAMILY,
    object::FAMILY,
    patch::FAMILY,
    print::FAMILY,
    regex::FAMILY,
    semver::FAMILY,
    strings::FAMILY,
    time::FAMILY,
    units::FAMILY,
    uri::FAMILY,
    uuid::FAMILY,
];

/// Where a builtin is.
pub(super) enum Place {
    /// OPA compiles it into the module.
    Module,
    /// The module calls the host.
    Host,
    /// Nowhere, because of this.
    Refused(&'static str),
}

impl Place {
    /// Of the builtin with this name; `None` if OPA has none.
    pub(super) fn of(name: &str) -> Option<Self> {
        if IN_MODULE.contains(&name) {
            return Some(Self::Module);
        }
        if function(name).is_some() {
            return Some(Self::Host);
        }
        let refused = REFUSED.iter().find(|(names, _)| names.contains(&name));
        refused.map(|(_, reason)| Self::Refused(reason))
    }
}

fn function(name: &str) -> Option<Builtin> {
    let all = FAMILIES.iter().copied().flatten();
    let found = all.chain(testing::FAMILY).find(|(known, _)| *known == name);
    found.map(|(name, function)| Builtin { name, function: *function })
}

/// The names of the builtins that the host has.
pub fn in_host() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().map(|(name, _)| *name)
}

/// A function that the host offers.
#[derive(Clone, Copy)]
pub(in crate::policy::rego) struct Builtin {
    pub(in crate::policy::rego) name: &'static str,
    function: Function,
}

impl Builtin {
    /// A value that a builtin wraps around its arguments may be some levels too deep; one that could nest without end
    /// bounds it itself.
    pub(super) fn apply(self, context: &mut Context, arguments: &[Term]) -> Answer {
        let value = (self.function)(context, arguments)?;
        if value.has_at_most(MOST_LEVELS) { Ok(value) } else { Err(Stop::nested_too_deeply()) }
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A builtin that a module calls and that is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    name: String,
    reason: &'static str,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.reason)
    }
}

/// The builtins that a module calls, by the numbers by which it calls them. An error is all that are not here.
pub(in crate::policy::rego) fn resolve(
    wanted: BTreeMap<String, i32>,
) -> Result<BTreeMap<i32, Builtin>, Vec<Unavailable>> {
    let mut known = BTreeMap::new();
    let mut unavailable = Vec::new();
    for (name, id) in wanted {
        if let Some(builtin) = function(&name) {
            known.insert(id, builtin);
            continue;
        }
        let reason = match Place::of(&name) {
            Some(Place::Refused(reason)) => reason,
            _ => "a builtin of another version of OPA",
        };
        unavailable.push(Unavailable { name, reason });
    }
    if unavailable.is_empty() { Ok(known) } else { Err(unavailable) }
}

#[cfg(not(test))]
mod testing {
    pub(super) const FAMILY: super::Family = &[];
}

/// A builtin with a bug, and one that is late.
#[cfg(test)]
mod testing {
    use super::{Answer, Context, Family, Term};
    use crate::policy::rego::testing::LATE;

    pub(super) const FAMILY: Family = &[("test.panic", panic), ("test.late", late)];

    #[expect(clippy::panic, reason = "that is what it is for")]
    fn panic(_: &mut Context, _: &[Term]) -> Answer {
        panic!("a bug in a builtin")
    }

    fn late(context: &mut Context, _: &[Term]) -> Answer {
        if let Some(left) = LATE.get().checked_sub(1) {
            LATE.set(left);
            loop {
                context.deadline.check()?;
            }
        }
        Ok(Term::Null)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::policy::rego::builtins::capabilities::declared;

    #[test]
    fn each_builtin_of_opas_is_in_one_place() {
        let refused = REFUSED.iter().flat_map(|(names, _)| names.iter().copied());
        let ours: Vec<_> = IN_MODULE.iter().copied().chain(in_host()).chain(refused).collect();
        let distinct: BTreeSet<_> = ours.iter().copied().collect();
        assert_eq!(ours.len(), distinct.len(), "a builtin is in two places");
        let theirs: BTreeSet<_> = declared().into_iter().map(|builtin| builtin.name).collect();
        assert_eq!(distinct, theirs.iter().map(String::as_str).collect());
    }

    /// Two at least: one that has a value and one that has none.
    #[test]
    fn each_builtin_of_the_host_has_cases() {
        // What these give is not OPA's: the decision's instant, and a line in the log.
        const UNCOMPARED: [&str; 3] = ["internal.print", "print", "time.now_ns"];
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/policy/rego/builtins/cases");
        let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let text: String = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
        let cases = |name: &str| text.lines().filter(|line| line.split(' ').next() == Some(name)).count();
        let bare: Vec<_> = in_host().filter(|name| !UNCOMPARED.contains(name) && cases(name) < 2).collect();
        assert!(bare.is_empty(), "without cases: {bare:?}");
    }
}
