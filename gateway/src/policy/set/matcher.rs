//! Which questions each module decides.

use std::collections::BTreeMap;

use crate::dns;
use crate::policy::document::{Action, Input};

/// The actions and namespaces that a module decides about.
#[derive(Debug)]
pub(super) struct Matcher {
    /// `None` is all of them.
    pub(super) actions: Option<Vec<Action>>,
    /// `None` is all of them.
    pub(super) namespaces: Option<Vec<NamespacePattern>>,
    /// Labels that the namespace must have: the platform team sets these, but a Deployment's owner may edit its labels.
    pub(super) namespace_labels: BTreeMap<String, String>,
}

/// Whether a module decides about a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Matching {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It depends on the namespace's labels, which are not known. To treat this as "no" would bypass the module.
    Unknown,
}

impl Matcher {
    pub(super) fn matches(&self, input: &Input) -> Matching {
        let namespace = &input.target.namespace;
        let action = self.actions.as_ref().is_none_or(|actions| actions.contains(&input.action));
        if input.action == Action::Describe {
            // It concerns no namespace, so only modules that are not bound to namespaces decide about it.
            let unbound = self.namespaces.is_none() && self.namespace_labels.is_empty();
            return if action && unbound { Matching::Yes } else { Matching::No };
        }
        let named = self.namespaces.as_ref().is_none_or(|patterns| patterns.iter().any(|p| p.matches(namespace)));
        if !(action && named) {
            return Matching::No;
        }
        if self.namespace_labels.is_empty() {
            return Matching::Yes;
        }
        let Some(labels) = &input.target.namespace_labels else { return Matching::Unknown };
        let labelled = self.namespace_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        if labelled { Matching::Yes } else { Matching::No }
    }

    /// The name of a namespace that matches by name.
    pub(super) fn example_namespace(&self) -> String {
        match self.namespaces.as_ref().and_then(|patterns| patterns.first()) {
            None => "default".to_owned(),
            Some(NamespacePattern::Exact(name)) => name.clone(),
            Some(NamespacePattern::Prefix(prefix)) => format!("{prefix}x"),
        }
    }
}

/// The name of a namespace, or a prefix followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NamespacePattern {
    Exact(String),
    Prefix(String),
}

impl NamespacePattern {
    /// Parses `*`, `team-*` or `team-a`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            // A prefix of a label is itself a label once `x` follows it; `Matcher::example_namespace` relies on that.
            Some(prefix) if dns::is_label(&format!("{prefix}x")) => Some(Self::Prefix(prefix.to_owned())),
            None if dns::is_label(text) => Some(Self::Exact(text.to_owned())),
            _ => None,
        }
    }

    fn matches(&self, namespace: &str) -> bool {
        match self {
            Self::Exact(name) => name == namespace,
            Self::Prefix(prefix) => namespace.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::policy::testing::{input, labelled};

    fn matcher(actions: &[Action], namespaces: &[&str], labels: &[(&str, &str)]) -> Matcher {
        let namespaces: Vec<_> = namespaces.iter().map(|text| NamespacePattern::parse(text).unwrap()).collect();
        Matcher {
            actions: (!actions.is_empty()).then(|| actions.to_vec()),
            namespaces: (!namespaces.is_empty()).then_some(namespaces),
            namespace_labels: labelled(labels),
        }
    }

    #[test]
    fn actions_and_namespaces_narrow_what_a_module_decides() {
        let question = input(Action::Set, "team-a");
        for (matcher, expected) in [
            (matcher(&[], &[], &[]), Matching::Yes),
            (matcher(&[Action::Get], &[], &[]), Matching::No),
            (matcher(&[Action::Get, Action::Set], &["other", "team-*"], &[]), Matching::Yes),
            (matcher(&[], &["team-"].map(|_| "team"), &[]), Matching::No),
            (matcher(&[], &["team-a"], &[]), Matching::Yes),
            (matcher(&[], &["*"], &[]), Matching::Yes),
        ] {
            assert_eq!(matcher.matches(&question), expected, "{matcher:?}");
        }
    }

    #[test]
    fn unknown_labels_are_neither_a_match_nor_none() {
        let by_label = matcher(&[], &["team-*"], &[("tier", "web")]);
        let mut question = input(Action::Get, "team-a");
        question.target.namespace_labels = Some(labelled(&[("tier", "web"), ("more", "x")]).into());
        assert_eq!(by_label.matches(&question), Matching::Yes);
        question.target.namespace_labels = Some(labelled(&[("tier", "db")]).into());
        assert_eq!(by_label.matches(&question), Matching::No);
        question.target.namespace_labels = None;
        assert_eq!(by_label.matches(&question), Matching::Unknown);
        question.target.namespace = "other".to_owned();
        assert_eq!(by_label.matches(&question), Matching::No);
    }

    #[test]
    fn other_patterns_are_refused() {
        for text in ["", "a*b", "**", "A", "a.b", "-*", "a_*", " *"] {
            assert_eq!(NamespacePattern::parse(text), None, "{text}");
        }
    }
}
