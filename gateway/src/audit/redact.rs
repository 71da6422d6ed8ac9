//! Replaces values that an operator does not want in records by keyed hashes.
//!
//! Equal values have equal hashes under one key, so that records can still be correlated. A text of a module that
//! repeats a redacted value, or that was cut and may end with part of one, is replaced as a whole.

mod key;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::hex;
use crate::text::MARK;

pub use self::key::{RedactKey, RedactKeyError};

/// The prefix of every hash.
const PREFIX: &str = "hmac:";

/// What can be redacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RedactedField {
    /// Why a count was asked for: of the request, and of what was asked before.
    Reason,
    /// The values of the workload's annotations; their keys stay.
    Annotations,
    /// The client's groups.
    Groups,
    /// The address that a request came from. Its hash is without the port, so that requests of one address can be brought
    /// together.
    Peer,
}

impl RedactedField {
    /// All of them, by their names in the configuration.
    pub const ALL: [(&'static str, Self); 4] =
        [("reason", Self::Reason), ("annotations", Self::Annotations), ("groups", Self::Groups), ("peer", Self::Peer)];

    /// Returns whether modules read it as part of their input.
    fn is_input(self) -> bool {
        self != Self::Peer
    }
}

/// Which fields are redacted, and under which key.
#[derive(Debug)]
pub struct Redaction {
    fields: Vec<RedactedField>,
    key: RedactKey,
}

/// The values that the records of a decision must not have.
#[derive(Debug, Clone, Default)]
pub(super) struct Hidden {
    values: Vec<String>,
    /// The fields of the input that they come from.
    pub(super) fields: Vec<RedactedField>,
}

impl Redaction {
    /// Redacts `fields` under `key`.
    pub fn new(fields: Vec<RedactedField>, key: RedactKey) -> Self {
        Self { fields, key }
    }

    /// The fields that it redacts.
    pub(super) fn fields(&self) -> &[RedactedField] {
        &self.fields
    }

    /// Redacts the record of a decision and its input.
    pub(super) fn decision(&self, record: &mut Value, input: &mut Value) -> Hidden {
        let mut hidden = Hidden::default();
        for field in &self.fields {
            let before = hidden.values.len();
            for value in values(*field, input) {
                self.replace(value, &mut hidden);
            }
            if hidden.values.len() > before {
                hidden.fields.push(*field);
            }
        }
        self.texts(record, &hidden);
        let peer = self.peer(record);
        says_so(record, &hidden.fields.iter().copied().chain(peer).collect::<Vec<_>>());
        hidden
    }

    /// Redacts the outcome record of the decision that `hidden` comes from.
    pub(super) fn outcome(&self, record: &mut Value, hidden: &Hidden) {
        self.texts(record, hidden);
        let peer: Vec<_> = self.peer(record).into_iter().collect();
        says_so(record, &peer);
    }

    /// Redacts the record of a list. Its inputs are gone by then, so the cause of a missing verdict, which may quote a
    /// module, is always replaced.
    pub(super) fn list(&self, record: &mut Value) {
        let mut redacted: Vec<_> = self.fields.iter().copied().filter(|field| field.is_input()).collect();
        match record.get_mut("cause") {
            Some(Value::String(cause)) if !redacted.is_empty() => *cause = self.hash(cause),
            _ => redacted.clear(),
        }
        redacted.extend(self.peer(record));
        says_so(record, &redacted);
    }

    fn peer(&self, record: &mut Value) -> Option<RedactedField> {
        if !self.fields.contains(&RedactedField::Peer) {
            return None;
        }
        let Some(Value::String(peer)) = record.get_mut("peer") else { return None };
        let address = peer.parse().map(|address: SocketAddr| address.ip().to_canonical().to_string());
        *peer = self.hash(&address.unwrap_or_else(|_| peer.clone()));
        Some(RedactedField::Peer)
    }

    fn replace(&self, value: &mut Value, hidden: &mut Hidden) {
        let Value::String(text) = value else { return };
        let hash = self.hash(text);
        hidden.values.push(std::mem::replace(text, hash));
    }

    /// Replaces each text of a module, or text that may quote one, that repeats a hidden value.
    fn texts(&self, record: &mut Value, hidden: &Hidden) {
        let forms = hidden.forms();
        if forms.is_empty() {
            return;
        }
        let repeats = |text: &str| text.ends_with(MARK) || forms.iter().any(|form| text.contains(form.as_str()));
        let redact = |value: &mut Value| {
            if let Value::String(text) = value
                && repeats(text)
            {
                *text = self.hash(text);
            }
        };
        for field in ["cause", "error"] {
            record.get_mut(field).into_iter().for_each(redact);
        }
        items(record.get_mut("reasons")).for_each(redact);
        for module in items(record.get_mut("modules")) {
            items(module.get_mut("reasons")).for_each(redact);
            if let Some(Value::Object(tags)) = module.get_mut("tags") {
                let name = |key: String| if repeats(&key) { self.hash(&key) } else { key };
                let mut renamed: Map<_, _> = std::mem::take(tags).into_iter().map(|(k, v)| (name(k), v)).collect();
                renamed.values_mut().for_each(redact);
                *tags = renamed;
            }
        }
    }

    fn hash(&self, text: &str) -> String {
        format!("{PREFIX}{}", hex::encode(hmac::sign(&self.key.0, text.as_bytes()).as_ref()))
    }
}

impl Hidden {
    /// How texts may repeat the values: verbatim, or escaped as in a JSON string. Empty values are left out: every text
    /// contains them.
    fn forms(&self) -> Vec<String> {
        let quoted = |value: &str| Value::from(value).to_string().trim_matches('"').to_owned();
        let mut forms: Vec<_> = self.values.iter().flat_map(|value| [value.clone(), quoted(value)]).collect();
        forms.sort_unstable();
        forms.dedup();
        forms.retain(|form| !form.is_empty());
        forms
    }
}

/// The values of a field in an input.
fn values(field: RedactedField, input: &mut Value) -> Vec<&mut Value> {
    match field {
        RedactedField::Reason => {
            let Some(whole) = input.as_object_mut() else { return Vec::new() };
            let mut found = Vec::new();
            for (key, part) in whole {
                match key.as_str() {
                    "request" => found.extend(part.get_mut("reason")),
                    "current" => found.extend(part.pointer_mut("/target/reason")),
                    _ => {}
                }
            }
            found
        }
        RedactedField::Annotations => match input.pointer_mut("/target/annotations") {
            Some(Value::Object(annotations)) => annotations.values_mut().collect(),
            _ => Vec::new(),
        },
        RedactedField::Groups => items(input.pointer_mut("/client/groups")).collect(),
        RedactedField::Peer => Vec::new(),
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Adds the names of the redacted fields to a record.
fn says_so(record: &mut Value, redacted: &[RedactedField]) {
    if let Value::Object(fields) = record
        && !redacted.is_empty()
    {
        // These names always serialize.
        fields.insert("redacted".to_owned(), serde_json::to_value(redacted).unwrap_or_default());
    }
}
