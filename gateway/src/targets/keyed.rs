//! Sets with an idempotency key: a client that got no answer asks again, and nothing is written twice.
//!
//! The target remembers the last of them in its spec: only clients that may set the count can forge an entry. It keeps
//! hashes, since a key may be a secret of its client.

use aws_lc_rs::digest::{Context, SHA256};

use crate::hex;
use crate::identity::ClientIdentity;
use crate::policy::Set;
use crate::replicas::{Observation, Workload};
use crate::resource::{KeyedRequest, MAX_KEYED_REQUESTS, ReplicaTarget};

use super::order::owners_of_recreated;

/// The bytes of a hash that are kept. They distinguish one client's keys; a collision benefits nobody.
const HASH_BYTES: usize = 16;

/// A set with a key, as a target remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed(KeyedRequest);

/// What a target remembers of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Nothing.
    None,
    /// The same request: it was stored.
    Same,
    /// Another request.
    Other,
}

impl Keyed {
    /// A set by `client` with `key`.
    pub fn new(client: &ClientIdentity, key: &str, set: &Set) -> Self {
        let replicas = set.replicas.to_be_bytes();
        let reason = set.reason.as_deref();
        Self(KeyedRequest {
            key: hash(&[client.trust_domain().as_bytes(), client.id().as_str().as_bytes(), key.as_bytes()]),
            request: hash(&[&replicas, &[u8::from(reason.is_some())], reason.unwrap_or_default().as_bytes()]),
        })
    }

    /// What the target that was observed remembers of the key. One that was made for a former workload of the name
    /// remembers nothing for this one.
    pub fn earlier(&self, seen: &Observation) -> Earlier {
        let target = seen.target.as_deref().filter(|target| is_of(target, seen.workload.as_deref()));
        let mut known = target.iter().flat_map(|target| &target.spec.keyed_requests);
        match known.find(|known| known.key == self.0.key) {
            None => Earlier::None,
            Some(known) if known.request == self.0.request => Earlier::Same,
            Some(_) => Earlier::Other,
        }
    }
}

fn is_of(target: &ReplicaTarget, workload: Option<&Workload>) -> bool {
    workload.is_some_and(|workload| owners_of_recreated(target, workload).is_none())
}

/// What a target is to remember after `new`: the oldest is forgotten, and what the same key was used for on a former
/// workload of the name.
pub(super) fn remembered(before: &[KeyedRequest], new: Option<Keyed>) -> Vec<KeyedRequest> {
    let new = new.map(|Keyed(request)| request);
    let others = before.iter().filter(|known| new.as_ref().is_none_or(|new| new.key != known.key));
    let all: Vec<_> = others.cloned().chain(new.clone()).collect();
    let surplus = all.len().saturating_sub(MAX_KEYED_REQUESTS);
    all.into_iter().skip(surplus).collect()
}

/// The hash of `parts`, which no other division of the same bytes has.
fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    hex::encode(digest.as_ref().get(..HASH_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;

    use super::*;
    use crate::identity::fixtures::client;
    use crate::replicas::Replicas;
    use crate::replicas::fixtures::{Object, deployment, target};
    use crate::workload::WorkloadRef;

    fn set(replicas: i32, reason: Option<&str>) -> Set {
        Set { target: WorkloadRef::deployment("demo", "web"), replicas, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn a_key_is_one_clients_and_stands_for_one_request() {
        let (ci, other) = (client("ci"), client("other"));
        let remembering = |uid: &str| {
            let mut target = target("demo", "web", 3);
            let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid});
            target.metadata.owner_references = Some(vec![serde_json::from_value(owner).unwrap()]);
            target.spec.keyed_requests = remembered(&[], Some(Keyed::new(&ci, "k", &set(3, None))));
            Object::Target(Box::new(target))
        };
        let web = || Object::Deployment(deployment("demo", "web", 3));
        let seen =
            |objects: Vec<Object>| Replicas::from_objects(objects).observe(&WorkloadRef::deployment("demo", "web"));
        let now = seen(vec![web(), remembering(&deployment("demo", "web", 3).uid)]);
        for (client, key, request, earlier) in [
            (&ci, "k", set(3, None), Earlier::Same),
            (&ci, "k", set(4, None), Earlier::Other),
            (&ci, "k", set(3, Some("")), Earlier::Other),
            (&ci, "k", set(3, Some("why")), Earlier::Other),
            (&ci, "l", set(3, None), Earlier::None),
            (&other, "k", set(3, None), Earlier::None),
        ] {
            assert_eq!(Keyed::new(client, key, &request).earlier(&now), earlier, "{key} {request:?}");
        }
        for (what, seen) in [
            ("no target", seen(vec![web()])),
            ("the target of a former Deployment", seen(vec![web(), remembering("former")])),
        ] {
            assert_eq!(Keyed::new(&ci, "k", &set(3, None)).earlier(&seen), Earlier::None, "{what}");
        }
    }

    #[test]
    fn the_last_eight_are_remembered_and_sets_without_a_key_forget_none() {
        let keyed = |number: i32| Keyed::new(&client("ci"), &number.to_string(), &set(number, None));
        let all = (0..10).fold(Vec::new(), |before, number| remembered(&before, Some(keyed(number))));
        let expected: Vec<_> = (2..10).map(|number| keyed(number).0).collect();
        assert_eq!(all, expected);
        assert_eq!(remembered(&all, None), expected);
        let again = Keyed::new(&client("ci"), "5", &set(50, None));
        let after = remembered(&all, Some(again.clone()));
        assert_eq!((after.len(), after.last()), (8, Some(&again.0)), "one entry for each key");
    }
}
