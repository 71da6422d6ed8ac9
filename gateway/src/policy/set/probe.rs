//! The questions that each module is asked before its set is used: one for each action that it decides about. A module
//! that gives no verdict on them would turn every request into a 503.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::matcher::{Matcher, Matching};
use super::{ModuleError, rego};
use crate::policy::document::{API_VERSION, Action, Client, Current, Input, Request, Target, Wanted};
use crate::replicas::{Autoscaler, Rollout};
use crate::workload::WorkloadKind;

/// The client that asks. Nobody can own a name in `.invalid` (RFC 2606).
const CLIENT: &str = "uri:spiffe://probe.invalid/policy-check";
/// Its trust domain.
const TRUST_DOMAIN: &str = "probe.invalid";

/// The label with which Kubernetes marks each namespace with its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Asks `module` each question that `matcher` matches, as of now. A refusal is a verdict too.
pub(super) fn ask(module: &rego::Module, matcher: &Matcher) -> Result<(), ModuleError> {
    let now = Timestamp::now();
    for question in questions(matcher) {
        let probe = |cause| ModuleError::Probe { action: question.action.name(), cause };
        let json = serde_json::to_vec(&question).map_err(|error| probe(rego::EvalError::Abi(error.to_string())))?;
        rego::in_time(rego::AT_LOAD, || module.evaluate(&json, now)).map_err(probe)?;
    }
    Ok(())
}

/// The questions that `matcher` matches, one for each action at most: a gateway never asks a module about a question that
/// it does not match, or may not match.
pub(super) fn questions(matcher: &Matcher) -> impl Iterator<Item = Input> {
    let questions = Action::ALL.into_iter().map(|action| question(action, matcher));
    questions.filter(|question| matcher.matches(question) == Matching::Yes)
}

/// What a gateway would ask: about an existing Deployment in a namespace that `matcher` matches, or, to describe the
/// policies, about none.
fn question(action: Action, matcher: &Matcher) -> Input {
    let describes = action == Action::Describe;
    Input {
        api_version: API_VERSION.into(),
        client: client().into(),
        action,
        target: if describes { Target::default() } else { target(matcher) },
        current: (!describes).then(current),
        request: (action == Action::Set).then(|| Request {
            replicas: 4,
            duration_seconds: None,
            reason: Some("evening load".to_owned()),
        }),
        undecidable: None,
    }
}

fn client() -> Client {
    Client {
        id: CLIENT.to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        groups: vec!["probes".to_owned()],
        serial: "5f1c".to_owned(),
        not_after: Timestamp::MAX,
    }
}

fn target(matcher: &Matcher) -> Target {
    let namespace = matcher.example_namespace();
    let mut namespace_labels = BTreeMap::from([(NAME_LABEL.to_owned(), namespace.clone())]);
    namespace_labels.extend(matcher.namespace_labels.clone());
    Target {
        kind: WorkloadKind::Deployment.as_str().to_owned(),
        namespace,
        name: "web".to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]).into(),
        annotations: BTreeMap::from([("scalegate.dev/max-replicas".to_owned(), "20".to_owned())]).into(),
        namespace_labels: Some(namespace_labels.into()),
    }
}

fn current() -> Current {
    let target =
        Wanted { replicas: 3, requested_by: Some(CLIENT.to_owned()), reason: Some("launch at noon".to_owned()) };
    let owner = Autoscaler::new("web", 2, 10);
    Current {
        replicas: 3,
        ready: 3,
        available: 3,
        updated: 3,
        rollout: Rollout::Complete,
        target: Some(target),
        owners: vec![owner.into()],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::Value;

    use super::*;
    use crate::policy::set::matcher::NamespacePattern;

    fn matcher(namespaces: &[&str], labels: &[(&str, &str)]) -> Matcher {
        let patterns = namespaces.iter().map(|text| NamespacePattern::parse(text).unwrap()).collect::<Vec<_>>();
        Matcher {
            actions: None,
            namespaces: (!patterns.is_empty()).then_some(patterns),
            namespace_labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn each_question_is_one_that_the_module_decides_about() {
        for (namespaces, labels) in [
            (&[][..], &[][..]),
            (&["shop"], &[]),
            (&["team-*", "x"], &[("tier", "web")]),
            (&["*"], &[]),
            (&[], &[("kubernetes.io/metadata.name", "shop")]),
        ] {
            let matcher = matcher(namespaces, labels);
            for action in [Action::Get, Action::Set, Action::Release] {
                assert_eq!(matcher.matches(&question(action, &matcher)), Matching::Yes, "{matcher:?}");
            }
        }
    }

    #[test]
    fn a_question_has_all_that_a_module_may_read() {
        fn nulls(path: &str, value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Null => found.push(path.to_owned()),
                Value::Object(fields) => {
                    for (key, field) in fields {
                        nulls(&format!("{path}.{key}"), field, found);
                    }
                }
                Value::Array(items) => {
                    assert!(!items.is_empty(), "{path}");
                    for item in items {
                        nulls(path, item, found);
                    }
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        nulls("", &serde_json::to_value(question(Action::Set, &matcher(&[], &[]))).unwrap(), &mut found);
        // No request has a duration yet.
        assert_eq!(found, [".request.durationSeconds"]);
    }
}
