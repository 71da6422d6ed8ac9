//! API servers for unit tests. [`store`] keeps objects, for tests that read back what they wrote; [`script`] lets a
//! test choose each response. Neither shows how a real API server behaves.

pub(crate) mod script;
pub(crate) mod store;

use serde_json::{Value, json};

/// The `Status` by which an API server refuses.
fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    })
}
