//! Which gateway answers.

use schemars::JsonSchema;
use serde::Serialize;

/// Which gateway answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Version")]
pub(super) struct VersionView {
    /// Of the gateway.
    version: &'static str,
    /// The versions of the API that it serves.
    api_versions: [&'static str; 1],
}

impl VersionView {
    pub(super) const CURRENT: Self = Self { version: env!("CARGO_PKG_VERSION"), api_versions: ["v1"] };
}
