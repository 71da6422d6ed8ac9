//! The workloads whose counts clients see and set: what there is to know of each kind is one row of one table.

use std::fmt;

/// A kind of workload that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
}

/// What Kubernetes calls a kind.
struct Row {
    kind: &'static str,
    plural: &'static str,
    api_version: &'static str,
    /// What stands before the workload's name in the name of its target.
    target_prefix: &'static str,
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 1] = [Self::Deployment];

    fn row(self) -> &'static Row {
        match self {
            Self::Deployment => {
                &Row { kind: "Deployment", plural: "deployments", api_version: "apps/v1", target_prefix: "" }
            }
        }
    }

    /// The kind in manifests, such as `Deployment`.
    pub fn as_str(self) -> &'static str {
        self.row().kind
    }

    /// The resource in paths, such as `deployments`.
    pub fn plural(self) -> &'static str {
        self.row().plural
    }

    /// The API group and version, such as `apps/v1`.
    pub fn api_version(self) -> &'static str {
        self.row().api_version
    }

    /// The kind that is called `kind` in manifests.
    pub fn named(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == kind)
    }

    /// The kind that is called `plural` in paths.
    pub fn of_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.plural() == plural)
    }

    /// The name of the `ReplicaTarget` of the workload `name`.
    pub fn target_name(self, name: &str) -> String {
        format!("{}{name}", self.row().target_prefix)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names one workload, whether or not it exists. Ordered as a list shows them: by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadRef {
    /// The kind.
    pub kind: WorkloadKind,
    /// The namespace, a DNS label.
    pub namespace: String,
    /// The workload's name, a DNS subdomain.
    pub name: String,
}

impl WorkloadRef {
    /// The workload `name` in `namespace`.
    pub fn new(kind: WorkloadKind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The Deployment `name` in `namespace`.
    pub fn deployment(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(WorkloadKind::Deployment, namespace, name)
    }

    /// The name of its `ReplicaTarget`.
    pub fn target_name(&self) -> String {
        self.kind.target_name(&self.name)
    }
}

/// Such as `Deployment demo/web`.
impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_each_of_its_names() {
        for kind in WorkloadKind::ALL {
            assert_eq!(WorkloadKind::named(kind.as_str()), Some(kind));
            assert_eq!(WorkloadKind::of_plural(kind.plural()), Some(kind));
        }
        assert_eq!(WorkloadKind::named("deployment"), None);
        assert_eq!(WorkloadRef::deployment("demo", "web").to_string(), "Deployment demo/web");
    }
}
