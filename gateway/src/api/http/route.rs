//! Which path means what.

use matchit::Router;

use crate::api::error::Error;
use crate::workload::{WorkloadKind, WorkloadRef};

/// Where a path leads. The names in it are checked, and the fault is told when the route is served.
#[derive(Debug)]
pub(super) enum Route {
    Replicas { workload: Result<WorkloadRef, Error> },
    Workloads { kind: WorkloadKind, namespace: Result<Option<String>, Error> },
    Policies,
    Health,
}

#[derive(Debug, Clone, Copy)]
enum Pattern {
    Replicas,
    AllWorkloads,
    Workloads,
    Policies,
    Health,
}

const PATTERNS: [(&str, Pattern); 5] = [
    ("/v1/namespaces/{namespace}/{plural}/{name}/replicas", Pattern::Replicas),
    ("/v1/namespaces/{namespace}/{plural}", Pattern::Workloads),
    ("/v1/{plural}", Pattern::AllWorkloads),
    ("/v1/policies", Pattern::Policies),
    ("/healthz", Pattern::Health),
];

#[derive(Debug)]
pub(super) struct Routes(Router<Pattern>);

impl Routes {
    pub(super) fn new() -> Self {
        let mut router = Router::new();
        for (path, pattern) in PATTERNS {
            // The patterns are constants that do not overlap; the tests find each of them.
            let _ = router.insert(path, pattern);
        }
        Self(router)
    }

    /// The route of a raw path. Escapes are not decoded: no name that they could spell is valid.
    pub(super) fn find(&self, path: &str) -> Option<Route> {
        let found = self.0.at(path).ok()?;
        let parameter = |name| found.params.get(name).unwrap_or_default();
        let kind = || WorkloadKind::of_plural(parameter("plural"));
        Some(match found.value {
            Pattern::Replicas => {
                Route::Replicas { workload: workload(kind()?, parameter("namespace"), parameter("name")) }
            }
            Pattern::Workloads => {
                Route::Workloads { kind: kind()?, namespace: namespace(parameter("namespace")).map(Some) }
            }
            Pattern::AllWorkloads => Route::Workloads { kind: kind()?, namespace: Ok(None) },
            Pattern::Policies => Route::Policies,
            Pattern::Health => Route::Health,
        })
    }
}

impl Route {
    /// The route's name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Replicas { .. } => "replicas",
            Self::Workloads { kind, .. } => kind.plural(),
            Self::Policies => "policies",
            Self::Health => "healthz",
        }
    }
}

/// A checked name, or what is wrong with it.
fn workload(kind: WorkloadKind, namespace_text: &str, name: &str) -> Result<WorkloadRef, Error> {
    let namespace = namespace(namespace_text)?;
    if name.len() <= 253 && name.split('.').all(is_dns_label) {
        return Ok(WorkloadRef::new(kind, namespace, name));
    }
    Err(Error::invalid(
        "invalid_name",
        "a workload's name has at most 253 lower-case letters, digits, '-' and '.', each part between dots begins \
         and ends with a letter or digit",
    ))
}

fn namespace(text: &str) -> Result<String, Error> {
    if is_dns_label(text) {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(
        "invalid_name",
        "a namespace's name has at most 63 lower-case letters, digits and '-', and begins and ends with a letter or \
         digit",
    ))
}

/// RFC 1123, as Kubernetes reads it.
fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().last().is_some_and(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: WorkloadKind = WorkloadKind::Deployment;

    #[test]
    fn every_pattern_is_found_under_its_own_path() {
        let routes = Routes::new();
        for (path, route) in [
            ("/v1/namespaces/demo/deployments/web/replicas", "replicas"),
            ("/v1/namespaces/demo/deployments", "deployments"),
            ("/v1/deployments", "deployments"),
            ("/v1/policies", "policies"),
            ("/healthz", "healthz"),
        ] {
            assert_eq!(routes.find(path).as_ref().map(Route::name), Some(route), "{path}");
        }
    }

    #[test]
    fn paths_that_are_nearly_right_lead_nowhere() {
        let routes = Routes::new();
        for path in [
            "",
            "/",
            "/v1",
            "/v1/deployments/",
            "//v1/deployments",
            "/v1/namespaces//deployments",
            "*",
            "/healthz/x",
            "/v1/pods",
            "/v1/namespaces/demo/pods/web/replicas",
        ] {
            assert!(routes.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn names_that_are_no_dns_labels_are_refused() {
        let long = "a".repeat(64);
        for namespace in ["..", ".", "De", "a_b", "-a", "a-", "a.b", "%2e%2e", "a%2Fb", "ä", &long] {
            assert!(workload(KIND, namespace, "web").is_err(), "{namespace}");
        }
        for name in ["..", "web.", ".web", "a..b", "web%00", "Web", "web/x", &"a.".repeat(127)] {
            assert!(workload(KIND, "demo", name).is_err(), "{name}");
        }
        assert!(workload(KIND, "demo-1", "web.v2-x").is_ok());
    }
}
