//! The values of the chart that its schema limits by patterns: which texts it takes in which place.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::{Value, json};

/// A value that may be some text, or a map from some text to some text.
pub(crate) struct Place {
    /// Its JSON pointer; of a list, the first item is meant.
    pub(crate) pointer: String,
    takes: Takes,
}

enum Takes {
    Text(Limits),
    Map { keys: Limits, values: Limits },
}

/// What all patterns and bounds of a text in the schema say.
#[derive(Default)]
struct Limits {
    patterns: Vec<Regex>,
    longest: Option<u64>,
}

impl Limits {
    fn of(schema: &Value, node: &Value) -> Result<Self> {
        let mut limits = Self::default();
        for part in parts(schema, node)? {
            if let Some(pattern) = part["pattern"].as_str() {
                limits.patterns.push(Regex::new(pattern)?);
            }
            limits.longest = [limits.longest, part["maxLength"].as_u64()].into_iter().flatten().min();
        }
        Ok(limits)
    }

    fn takes(&self, text: &str) -> bool {
        let is_short = self.longest.is_none_or(|longest| text.len() as u64 <= longest);
        is_short && self.patterns.iter().all(|pattern| pattern.is_match(text))
    }
}

/// Everything that the schema says about a node: itself, and what it refers to.
fn parts<'a>(schema: &'a Value, node: &'a Value) -> Result<Vec<&'a Value>> {
    let mut all = vec![node];
    if let Some(reference) = node["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').context("a reference to another file")?;
        all.extend(parts(schema, schema.pointer(pointer).with_context(|| format!("no {reference}"))?)?);
    }
    // Of alternatives, that which is not a constant.
    let other = node["anyOf"].as_array().into_iter().flatten().filter(|other| other["$ref"].is_string());
    for part in node["allOf"].as_array().into_iter().flatten().chain(other) {
        all.extend(parts(schema, part)?);
    }
    Ok(all)
}

/// All places that the schema limits by patterns, but for the files of policies, which the manifest must name.
pub(crate) fn places(schema: &Value) -> Result<Vec<Place>> {
    let mut found = Vec::new();
    walk(schema, schema, String::new(), &mut found)?;
    found.retain(|place| {
        !place.pointer.starts_with("/policies/modules") && !place.pointer.starts_with("/policies/data")
    });
    Ok(found)
}

/// Returns whether the definition `name` of the schema takes `text`.
pub(crate) fn definition_takes(schema: &Value, name: &str, text: &str) -> Result<bool> {
    Ok(Limits::of(schema, &schema["$defs"][name])?.takes(text))
}

fn walk(schema: &Value, node: &Value, pointer: String, found: &mut Vec<Place>) -> Result<()> {
    for part in parts(schema, node)? {
        for (name, inner) in part["properties"].as_object().into_iter().flatten() {
            walk(schema, inner, format!("{pointer}/{name}"), found)?;
        }
        if part["items"].is_object() {
            walk(schema, &part["items"], format!("{pointer}/0"), found)?;
        }
        if part["propertyNames"].is_object() {
            let (keys, values) =
                (Limits::of(schema, &part["propertyNames"])?, Limits::of(schema, &part["additionalProperties"])?);
            found.push(Place { pointer: pointer.clone(), takes: Takes::Map { keys, values } });
        }
    }
    let limits = Limits::of(schema, node)?;
    if !limits.patterns.is_empty() {
        found.push(Place { pointer, takes: Takes::Text(limits) });
    }
    Ok(())
}

impl Place {
    /// What becomes of `text` here; `None` where the schema does not take it.
    fn with(&self, text: &str) -> Option<Value> {
        match &self.takes {
            Takes::Text(limits) => limits.takes(text).then(|| json!(text)),
            Takes::Map { keys, values } => {
                let value = if values.takes(text) { text } else { "x" };
                let named = [text.to_owned(), format!("example.org/{text}")].into_iter().filter(|key| keys.takes(key));
                let mut map: serde_json::Map<_, _> = named.map(|key| (key, json!(value))).collect();
                if value == text {
                    map.insert("x".to_owned(), json!(value));
                }
                (!map.is_empty()).then_some(Value::Object(map))
            }
        }
    }

    /// Returns whether the schema takes `text` here.
    pub(crate) fn takes(&self, text: &str) -> bool {
        self.with(text).is_some()
    }
}

/// `values` with `text` in each of the places that they have and that take it; the pointers of these.
pub(crate) fn filled(values: &Value, places: &[Place], text: &str) -> (Value, BTreeSet<String>) {
    let (mut filled, mut set) = (values.clone(), BTreeSet::new());
    for place in places {
        if let (Some(value), Some(new)) = (filled.pointer_mut(&place.pointer), place.with(text)) {
            *value = new;
            set.insert(place.pointer.clone());
        }
    }
    (filled, set)
}
