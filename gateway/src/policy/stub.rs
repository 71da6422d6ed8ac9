//! stub
use super::*; use std::sync::Arc; use crate::identity::ClientIdentity; use crate::replicas::*;
#[allow(missing_docs)] pub struct Policy { replicas: Replicas }
#[allow(missing_docs)] pub struct ListQuery { pub namespace: Option<String>, pub selector: kube::core::Selector, pub limit: usize, pub after: Option<DeploymentName> }
#[allow(missing_docs)] pub struct Listing { pub items: Vec<Permit<Get>>, pub next: Option<DeploymentName> }
#[allow(missing_docs)] pub struct PolicyMetrics;
#[allow(missing_docs)] impl Policy {
 pub async fn decide<A: Action>(&self, _c: &Arc<ClientIdentity>, _a: A) -> Result<Permit<A>, Denied> { todo!() }
 pub async fn list(&self, _c: &Arc<ClientIdentity>, _q: &ListQuery) -> Result<Listing, Denied> { todo!() }
 pub async fn changed<A>(&self, p: &Permit<A>, deadline: tokio::time::Instant, f: impl Fn(&Observation) -> bool + Send) -> bool { self.replicas.wait_until(&p.observation.name, deadline, f).await.is_ok() }
}
