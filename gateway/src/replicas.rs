//! What the cluster holds, as the watches last told it.
//!
//! Answers to reads and the facts for policies come from here; a read never calls the API server.

mod model;
mod version;

pub use model::{Autoscaler, Deployment, DeploymentName, Observation, Rollout};
pub use version::{InvalidVersion, Version};

use std::sync::Arc;

/// The watch cache. Clones share one state.
#[derive(Debug, Clone)]
pub struct Replicas(Arc<()>);

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// What was found, in order of namespace and name.
    pub items: Vec<Observation>,
    /// The name to go on after; `None` at the end of the list.
    pub next: Option<DeploymentName>,
}

impl Replicas {
    /// Everything known about `name` now.
    pub fn observe(&self, name: &DeploymentName) -> Observation {
        let _ = (&self.0, name);
        unimplemented!()
    }

    /// The next `limit` Deployments (at most) after `after`, in one namespace or all, whose labels `selector` matches.
    pub fn page(
        &self,
        namespace: Option<&str>,
        after: Option<&DeploymentName>,
        selector: &kube::core::Selector,
        limit: usize,
    ) -> Page {
        let _ = (&self.0, namespace, after, selector, limit);
        unimplemented!()
    }
}
