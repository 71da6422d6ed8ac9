//! What the process is made of right now, as one JSON object: for people, and for tools that compare gateways.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Readiness;

type Part = Box<dyn Fn() -> Value + Send + Sync>;

/// What `/status` shows: each part is asked when the page is. None may tell names of clients or Deployments.
#[derive(Default)]
pub struct StatusPage(Vec<(&'static str, Part)>);

impl StatusPage {
    /// Adds what `part` tells under `name`.
    #[must_use]
    pub fn with<T: Serialize>(mut self, name: &'static str, part: impl Fn() -> T + Send + Sync + 'static) -> Self {
        self.0.push((name, Box::new(move || serde_json::to_value(part()).unwrap_or_default())));
        self
    }

    /// The version, whether the process is ready and why, and the parts.
    pub(super) fn document(&self, readiness: &Readiness) -> Value {
        let mut document = Map::from_iter([
            ("version".to_owned(), json!(env!("CARGO_PKG_VERSION"))),
            ("ready".to_owned(), json!(readiness.is_ready())),
            ("draining".to_owned(), json!(readiness.is_draining())),
            ("conditions".to_owned(), json!(readiness.conditions())),
        ]);
        document.extend(self.0.iter().map(|(name, part)| ((*name).to_owned(), part())));
        Value::Object(document)
    }
}

impl fmt::Debug for StatusPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
