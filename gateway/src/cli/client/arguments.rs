//! Arguments that several commands take.

use std::fmt;
use std::time::Duration;

use super::completion;
use super::error::ClientError;
use super::order::Selection;
use crate::dns;
use crate::resource::{InvalidReason, check_reason};

/// A Deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkloadName {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Deployment as it is typed: `NAMESPACE/NAME`, or `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypedName {
    namespace: Option<String>,
    name: String,
}

impl TypedName {
    /// The Deployment, where `given` is the namespace of the flag, and `usual` that of the context.
    pub(super) fn resolve(&self, given: Option<&str>, usual: Option<&str>) -> Result<WorkloadName, ClientError> {
        let Self { namespace, name } = self;
        let namespace = match (namespace.as_deref(), given) {
            (Some(typed), Some(given)) if typed != given => {
                return Err(ClientError::Usage(format!("{typed}/{name} is not in namespace {given}: leave out one")));
            }
            (Some(namespace), _) | (None, Some(namespace)) => namespace,
            (None, None) => usual.ok_or_else(|| {
                ClientError::Usage(format!("in which namespace is {name}? Name it as NAMESPACE/{name}, or with -n"))
            })?,
        };
        Ok(WorkloadName { namespace: namespace.to_owned(), name: name.clone() })
    }
}

/// Where names are that have no namespace.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct NamespaceArgs {
    /// The namespace of names that have none
    #[arg(long, short, value_parser = namespace, add = completion::namespaces())]
    pub(super) namespace: Option<String>,
}

impl NamespaceArgs {
    /// The Deployment that `name` names, where `usual` is the namespace of the context.
    pub(super) fn resolve(&self, name: &TypedName, usual: Option<&str>) -> Result<WorkloadName, ClientError> {
        name.resolve(self.namespace.as_deref(), usual)
    }
}

/// The one Deployment that a command is about.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NameArgs {
    /// The Deployment, as NAMESPACE/NAME, or NAME with a namespace
    #[arg(value_parser = typed_name, add = completion::names())]
    name: TypedName,
    #[command(flatten)]
    place: NamespaceArgs,
}

impl NameArgs {
    /// The Deployment, where `usual` is the namespace of the context.
    pub(super) fn resolve(&self, usual: Option<&str>) -> Result<WorkloadName, ClientError> {
        self.place.resolve(&self.name, usual)
    }
}

/// Which Deployments a command is about.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ScopeArgs {
    /// In this namespace
    #[arg(long, short, value_parser = namespace, conflicts_with = "all_namespaces", add = completion::namespaces())]
    namespace: Option<String>,
    /// In all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// With these labels, such as tier=front
    #[arg(long, short = 'l')]
    selector: Option<String>,
}

impl ScopeArgs {
    /// The namespace that was given.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The labels that were given.
    pub(super) fn selector(&self) -> Option<&str> {
        self.selector.as_deref()
    }

    /// Returns whether a namespace, or all of them, were given.
    pub(super) fn is_given(&self) -> bool {
        self.namespace.is_some() || self.all_namespaces
    }

    /// What to list, where `usual` is the namespace of the context.
    pub(super) fn selection(&self, usual: Option<&str>) -> Selection {
        let usual = usual.filter(|_| !self.all_namespaces);
        let namespace = self.namespace.as_deref().or(usual).map(str::to_owned);
        Selection { namespace, selector: self.selector.clone() }
    }
}

/// A count, in the gateway's own words about what is none.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let wrong = || format!("a count is 0 or more: a whole number up to {}", i32::MAX);
    let digits = Some(text).filter(|text| !text.starts_with('+'));
    digits.and_then(|text| text.parse().ok()).filter(|count| *count <= i32::MAX.unsigned_abs()).ok_or_else(wrong)
}

/// A name or a number, of which [`count`] says whether it is a count, once it is known that it should be one.
pub(super) fn name_or_number(text: &str) -> Result<String, String> {
    let wrong =
        || format!("it takes a Deployment as NAMESPACE/NAME or NAME, and a whole number from 0 to {}", i32::MAX);
    let is_either = typed_name(text).is_ok() || text.parse::<f64>().is_ok();
    is_either.then(|| text.to_owned()).ok_or_else(wrong)
}

/// A reason that the gateway would accept.
pub(super) fn reason(text: &str) -> Result<String, InvalidReason> {
    check_reason(text).map(|()| text.to_owned())
}

/// `NAMESPACE/NAME` or `NAME`, as Kubernetes allows them: nothing else belongs into a path.
pub(super) fn typed_name(text: &str) -> Result<TypedName, String> {
    let (of, name) = match text.split_once('/') {
        Some((of, name)) => (Some(of), name),
        None => (None, text),
    };
    match (of.map(namespace).transpose(), object_name(name)) {
        (Ok(namespace), Ok(name)) => Ok(TypedName { namespace, name }),
        _ => Err("it takes NAMESPACE/NAME, or NAME".to_owned()),
    }
}

/// A namespace's name, as Kubernetes allows it.
pub(in crate::cli) fn namespace(text: &str) -> Result<String, String> {
    let wrong = || "it takes a namespace's name: 1 to 63 of a-z, 0-9 and -, no - at its ends".to_owned();
    dns::is_label(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// An object's name, as Kubernetes allows it.
pub(in crate::cli) fn object_name(text: &str) -> Result<String, String> {
    let wrong = || "it takes a name of a-z, 0-9, - and ., with a letter or digit at the ends of each part".to_owned();
    dns::is_subdomain(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// How long to wait: 1 s to 1 h.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(1)..=Duration::from_hours(1);
    let wrong = || "it takes a duration from 1s to 1h, such as 30s or 5m".to_owned();
    humantime::parse_duration(text).ok().filter(|duration| allowed.contains(duration)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_deployment_is_a_namespace_and_a_name_and_nothing_that_bends_a_path() {
        let web = typed_name("demo/web").unwrap().resolve(None, Some("other")).unwrap();
        assert_eq!(web.to_string(), "demo/web");
        for bad in ["demo/", "/web", "demo/web/x", "demo/..", "../web", "..", "demo/..%2f", "Demo/web", "web?x=1", ""] {
            assert!(typed_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_name_takes_the_namespace_of_the_flag_or_else_of_the_context() {
        let web = typed_name("web").unwrap();
        let resolved = |given, usual| web.resolve(given, usual).map(|name| name.to_string());
        assert_eq!(resolved(Some("a"), Some("b")).unwrap(), "a/web");
        assert_eq!(resolved(None, Some("b")).unwrap(), "b/web");
        assert_eq!(resolved(None, None).unwrap_err().exit_code(), 2);
        let other = typed_name("demo/web").unwrap();
        assert_eq!(other.resolve(Some("demo"), None).unwrap().to_string(), "demo/web");
        assert_eq!(other.resolve(Some("shop"), None).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_count_is_a_whole_number() {
        assert_eq!((count("0"), count("2147483647")), (Ok(0), Ok(2_147_483_647)));
        for bad in ["-1", "+5", "+0", "1.5", "2147483648", "", "x", " 1"] {
            assert!(count(bad).is_err(), "{bad}");
        }
        for bad in ["", "a b", "--force", "-x"] {
            assert!(name_or_number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wait_is_bounded() {
        assert_eq!(patience("2m"), Ok(Duration::from_mins(2)));
        for bad in ["0s", "2h", "5", "soon"] {
            assert!(patience(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_context_names_a_namespace_unless_all_are_wanted() {
        let all = ScopeArgs { all_namespaces: true, ..ScopeArgs::default() };
        assert_eq!(all.selection(Some("demo")).namespace, None);
        assert_eq!(ScopeArgs::default().selection(Some("demo")).namespace.as_deref(), Some("demo"));
        let given = ScopeArgs { namespace: Some("shop".to_owned()), ..ScopeArgs::default() };
        assert_eq!(given.selection(Some("demo")).namespace.as_deref(), Some("shop"));
    }
}
