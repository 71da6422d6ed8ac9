//! The Lease that candidates compete for.

use serde_json::{Value, json};

/// The holder of the Lease.
#[derive(Debug, Default)]
pub(super) enum Holder {
    /// Another candidate, which renews it all the time.
    #[default]
    Elsewhere,
    /// Nobody: the next candidate that writes it gets it.
    Nobody,
    /// The candidate that wrote this.
    Candidate(Value),
}

/// The Lease.
#[derive(Debug, Default)]
pub(super) struct Lease {
    pub(super) holder: Holder,
    version: u64,
}

impl Lease {
    /// The Lease as an API server answers a read.
    pub(super) fn read(&mut self) -> Value {
        match &self.holder {
            Holder::Elsewhere => {
                self.version += 1;
                self.lease("elsewhere")
            }
            Holder::Nobody => self.lease(""),
            Holder::Candidate(lease) => lease.clone(),
        }
    }

    /// Stores what the gateway wrote, and returns it; `None` if the other candidate holds the Lease.
    pub(super) fn write(&mut self, mut lease: Value) -> Option<Value> {
        if matches!(self.holder, Holder::Elsewhere) {
            return None;
        }
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.holder = Holder::Candidate(lease.clone());
        Some(lease)
    }

    fn lease(&self, holder: &str) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": "scalegate", "namespace": "scalegate", "resourceVersion": self.version.to_string() },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1 },
        })
    }
}
