//! API servers for unit tests. [`store`] keeps objects, for those who read what they wrote; [`script`] answers each
//! request as the test says, for those who must be told what a store never would. No test uses either to learn how a
//! real one behaves.

pub(crate) mod script;
pub(crate) mod store;

use serde_json::{Value, json};

/// The `Status` by which an API server refuses.
fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    })
}
