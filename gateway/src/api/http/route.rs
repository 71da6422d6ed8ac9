//! Which path means what.

use http::Method;
use matchit::Router;

use crate::api::error::Error;
use crate::api::fields;
use crate::workload::{WorkloadKind, WorkloadRef};

/// Where a path leads. The names in it are checked, and the fault is told when the route is served.
#[derive(Debug)]
pub(super) enum Route {
    Replicas { workload: Result<WorkloadRef, Error> },
    History { workload: Result<WorkloadRef, Error> },
    Workloads { kind: WorkloadKind, namespace: Result<Option<String>, Error> },
    Policies,
    Version,
    Description,
    Health,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Pattern {
    Replicas,
    History,
    AllWorkloads,
    Workloads,
    Policies,
    Version,
    Description,
    Health,
}

pub(super) const PATTERNS: [(&str, Pattern); 8] = [
    ("/v1/namespaces/{namespace}/{plural}/{name}/replicas", Pattern::Replicas),
    ("/v1/namespaces/{namespace}/{plural}/{name}/replicas/history", Pattern::History),
    ("/v1/namespaces/{namespace}/{plural}", Pattern::Workloads),
    ("/v1/{plural}", Pattern::AllWorkloads),
    ("/v1/policies", Pattern::Policies),
    ("/v1/version", Pattern::Version),
    ("/openapi.json", Pattern::Description),
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
        let workload = || Some(fields::workload(kind()?, parameter("namespace"), parameter("name")));
        Some(match found.value {
            Pattern::Replicas => Route::Replicas { workload: workload()? },
            Pattern::History => Route::History { workload: workload()? },
            Pattern::Workloads => {
                Route::Workloads { kind: kind()?, namespace: fields::namespace(parameter("namespace")).map(Some) }
            }
            Pattern::AllWorkloads => Route::Workloads { kind: kind()?, namespace: Ok(None) },
            Pattern::Policies => Route::Policies,
            Pattern::Version => Route::Version,
            Pattern::Description => Route::Description,
            Pattern::Health => Route::Health,
        })
    }
}

impl Route {
    /// The route's name in metrics.
    pub(super) fn name(&self, method: &Method) -> &'static str {
        match self {
            Self::Replicas { .. } => match *method {
                Method::PUT => "replicas.set",
                Method::DELETE => "replicas.release",
                _ => "replicas",
            },
            Self::History { .. } => "history",
            Self::Workloads { kind, .. } => kind.plural(),
            Self::Policies => "policies",
            Self::Version => "version",
            Self::Description => "openapi",
            Self::Health => "healthz",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::metrics::ROUTES;

    #[test]
    fn every_pattern_is_found_under_its_own_path() {
        let routes = Routes::new();
        let paths = [
            ("/v1/namespaces/demo/deployments/web/replicas", "replicas"),
            ("/v1/namespaces/demo/deployments/web/replicas/history", "history"),
            ("/v1/namespaces/demo/deployments", "deployments"),
            ("/v1/deployments", "deployments"),
            ("/v1/policies", "policies"),
            ("/v1/version", "version"),
            ("/openapi.json", "openapi"),
            ("/healthz", "healthz"),
        ];
        assert_eq!(paths.len(), PATTERNS.len());
        for (path, route) in paths {
            let found = routes.find(path);
            assert_eq!(found.as_ref().map(|found| found.name(&Method::GET)), Some(route), "{path}");
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                let name = found.as_ref().map(|found| found.name(&method)).unwrap_or_default();
                assert!(ROUTES.contains(&name), "{method} {path}: {name} is missing from the ROUTES of the metrics");
            }
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
}
