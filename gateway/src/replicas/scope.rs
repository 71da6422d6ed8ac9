//! Where a watch looks.

use std::borrow::Borrow;
use std::sync::Arc;

use super::contact::Watched;

/// The whole cluster, or one namespace of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(
    /// As in Kubernetes, no name is all namespaces.
    Arc<str>,
);

impl Scope {
    /// The whole cluster.
    pub fn cluster() -> Self {
        Self("".into())
    }

    /// One namespace.
    pub fn namespace(name: &str) -> Self {
        Self(name.into())
    }

    /// Where to watch if `namespaces` are listed; none is the whole cluster.
    pub(super) fn of(namespaces: &[String]) -> Vec<Self> {
        if namespaces.is_empty() {
            return vec![Self::cluster()];
        }
        namespaces.iter().map(|name| Self::namespace(name)).collect()
    }

    /// The namespace, if it is one.
    pub fn name(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&self.0)
    }

    /// What is watched there: Namespaces lie in none, and can be seen in the whole cluster alone.
    pub(super) fn watched(&self) -> &'static [Watched] {
        const NAMESPACED: [Watched; 3] = [Watched::Deployments, Watched::Targets, Watched::Autoscalers];
        if self.name().is_some() { &NAMESPACED } else { &Watched::ALL }
    }
}

impl Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}
