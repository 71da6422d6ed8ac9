//! What `opa check`, `opa test` and `opa build` are told by `--capabilities`, so that a policy that calls what is not
//! here fails at the author's desk, with a line number.

use serde_json::{Value, json};

use super::registry::Place;

/// `capabilities.json` of OPA's source, of the version that `policies/build.sh` builds. A test compares it with what that
/// OPA says of itself.
const OPA: &str = include_str!("opa.json");

/// A builtin as OPA declares it.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) declaration: Value,
}

/// All builtins of OPA's, by name.
pub(super) fn declared() -> Vec<Declared> {
    let builtins = opa()["builtins"].take();
    let Value::Array(builtins) = builtins else { return Vec::new() };
    let named = |declaration: Value| Declared {
        name: declaration["name"].as_str().unwrap_or_default().to_owned(),
        declaration,
    };
    builtins.into_iter().map(named).collect()
}

fn opa() -> Value {
    serde_json::from_str(OPA).unwrap_or_default()
}

/// Whether a policy may call it.
fn is_available(builtin: &Declared) -> bool {
    matches!(Place::of(&builtin.name), Some(Place::Module | Place::Host))
}

/// The capabilities of the gateway, as JSON.
pub fn capabilities() -> String {
    let builtins: Vec<_> = declared().into_iter().filter(is_available).map(|builtin| builtin.declaration).collect();
    let opa = opa();
    let capabilities = json!({
        "builtins": builtins,
        "future_keywords": opa["future_keywords"],
        "wasm_abi_versions": opa["wasm_abi_versions"],
        "features": opa["features"],
        "allow_net": [],
    });
    format!("{capabilities:#}\n")
}
