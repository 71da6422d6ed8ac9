//! A module's data file: a JSON object whose keys the module sees under `data`, beside its settings.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest data file that is read, in bytes.
pub(super) const BYTES: u64 = 1 << 20;

/// The keys that a data file must not have, and what to do about each.
const TAKEN: [(&str, &str); 2] = [
    ("settings", "which is where the `settings` of policies.yaml go: move its content there, or rename it"),
    ("scalegate", "which is the policy's own package: rename it"),
];

/// Why a data file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataError {
    /// It begins with a byte order mark, which JSON does not allow.
    #[error("it begins with a byte order mark; save it as UTF-8 without one")]
    Mark,
    /// It is not a JSON object, or names a key twice.
    #[error("it is not a usable JSON object: {0}")]
    Json(String),
    /// It has a reserved key.
    #[error("it has the key `{key}`, {advice}")]
    Taken {
        /// The key.
        key: &'static str,
        /// What to do about it.
        advice: &'static str,
    },
}

/// The document that a module sees as `data`: the `settings`, and the members of the data file `text`, byte for byte,
/// so that numbers keep their digits.
pub(super) fn document(settings: &impl Serialize, text: Option<&[u8]>) -> Result<Vec<u8>, DataError> {
    let settings = serde_json::json!(settings);
    let inner = text.map(members).transpose()?.unwrap_or_default();
    let comma = if inner.is_empty() { "" } else { "," };
    Ok(format!("{{\"settings\":{settings}{comma}{inner}}}").into_bytes())
}

/// The text between the braces of a data file, once it is checked.
fn members(text: &[u8]) -> Result<&str, DataError> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(DataError::Mark);
    }
    let json = |error: &dyn fmt::Display| DataError::Json(error.to_string());
    let text = str::from_utf8(text).map_err(|error| json(&error))?;
    let Keys(keys) = serde_json::from_str(text).map_err(|error| json(&error))?;
    for (key, advice) in TAKEN {
        if keys.contains(key) {
            return Err(DataError::Taken { key, advice });
        }
    }
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    Ok(text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().trim())
}

/// The keys of an object in which no object, at any depth, has a key twice.
struct Keys(HashSet<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

/// Visits an object.
struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<Checked>()?;
            if let Some(key) = keys.replace(key) {
                return Err(de::Error::custom(format_args!("the key {key:?} comes twice")));
            }
        }
        Ok(Keys(keys))
    }
}

/// Any value; only the keys of the objects in it are checked.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

/// Visits any value.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Checked, A::Error> {
        Object.visit_map(map).map(|_| Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::json;

    use super::*;

    fn merged(text: &str) -> String {
        String::from_utf8(document(&json!({"max": 3}), Some(text.as_bytes())).unwrap()).unwrap()
    }

    fn refusal(text: &[u8]) -> String {
        document(&json!({}), Some(text)).unwrap_err().to_string()
    }

    #[test]
    fn the_keys_of_the_file_stand_beside_the_settings() {
        assert_eq!(String::from_utf8(document(&json!({}), None).unwrap()).unwrap(), r#"{"settings":{}}"#);
        assert_eq!(merged(" {}\n"), r#"{"settings":{"max":3}}"#);
        assert_eq!(merged("{\n \"a\": {\"b\": []}\n}\n"), r#"{"settings":{"max":3},"a": {"b": []}}"#);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let numbers = r#""a": [1.0, 123456789012345678901234567890, 1e3]"#;
        assert!(merged(&format!("{{{numbers}}}")).contains(numbers));
    }

    #[test]
    fn what_is_no_object_of_distinct_keys_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "EOF while parsing"),
            ("[1]", "invalid type: sequence, expected an object"),
            ("{\"a\": 1} {}", "trailing characters"),
            ("{\"a\": 1,}", "trailing comma"),
            ("{\"a\": 1, \"b\": 2, \"a\": 3}", "the key \"a\" comes twice"),
            ("{\"a\": [{\"b\": {\"c\": 1, \"c\": 2}}]}", "the key \"c\" comes twice"),
            ("{\"settings\": {}}", "it has the key `settings`, which is where the `settings` of policies.yaml go"),
            ("{\"scalegate\": {}}", "it has the key `scalegate`, which is the policy's own package"),
            ("{\"a\": 1e999}", "number out of range"),
            ("\u{feff}{}", "byte order mark"),
        ] {
            assert!(refusal(text.as_bytes()).contains(part), "{text}: {}", refusal(text.as_bytes()));
        }
        assert!(refusal(b"{\"a\": \"\xff\"}").contains("invalid utf-8"));
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(refusal(deep.as_bytes()).contains("recursion limit exceeded"));
    }
}
