//! Where values come from: defaults, the file, the environment, flags; the later wins, field by field.

use std::fs;
use std::path::Path;

use config::{ConfigError, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::environment::Variable;
use super::{Args, Problem};

const DEFAULTS: &str = include_str!("defaults.yaml");
/// Everything hangs below one key, because the merge reads a key at the top as a path expression.
const ROOT: &str = "config";

/// One source's tree of values, each of which knows where it came from.
#[derive(Debug, Clone)]
struct Layer(Value);

impl Layer {
    fn of_tree(tree: Json, origin: &str) -> Self {
        Self(value(tree, origin).unwrap_or_else(|| Value::new(None, Map::<String, Value>::new())))
    }

    fn of_field(path: &str, leaf: Json, origin: &str) -> Self {
        let wrap = |inner, key: &str| Json::Object([(key.to_owned(), inner)].into_iter().collect());
        Self::of_tree(path.rsplit('.').fold(leaf, wrap), origin)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok([(ROOT.to_owned(), self.0.clone())].into_iter().collect())
    }
}

/// A tree with its origin at each value. A key that is null says nothing, as if it were absent; an item that is null
/// stays, to be refused: a list of it alone must not pass for an empty one.
fn value(tree: Json, origin: &str) -> Option<Value> {
    let kind = match tree {
        Json::Null => return None,
        Json::Bool(value) => ValueKind::Boolean(value),
        Json::Number(value) => match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => ValueKind::I64(value),
            (None, Some(value)) => ValueKind::U64(value),
            (None, None) => ValueKind::Float(value.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(value) => ValueKind::String(value),
        Json::Array(values) => {
            let null = || Value::new(Some(&origin.to_owned()), ValueKind::Nil);
            ValueKind::Array(values.into_iter().map(|item| value(item, origin).unwrap_or_else(null)).collect())
        }
        Json::Object(fields) => {
            ValueKind::Table(fields.into_iter().filter_map(|(key, field)| Some((key, value(field, origin)?))).collect())
        }
    };
    Some(Value::new(Some(&origin.to_owned()), kind))
}

/// Merges all sources into one tree.
pub(super) fn merge(args: &Args, variables: Vec<Variable>) -> Result<Value, Problem> {
    let failed = |error: ConfigError| Problem::whole("the configuration", error.to_string());
    let mut builder = config::Config::builder().add_source(parse(DEFAULTS, "the defaults")?);
    if let Some(path) = &args.config {
        builder = builder.add_source(read(path)?);
    }
    for Variable { field, value, name } in variables {
        builder = builder.add_source(Layer::of_field(&field, Json::from(value), &name));
    }
    for (path, leaf, flag) in args.overrides() {
        builder = builder.add_source(Layer::of_field(path, leaf, flag));
    }
    // Not `get`, which would lose the origins.
    let mut merged = builder.build().and_then(|merged| merged.collect()).map_err(failed)?;
    Ok(merged.remove(ROOT).unwrap_or_default())
}

fn read(path: &Path) -> Result<Layer, Problem> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Problem::whole(&name, format!("the configuration file cannot be read: {error}")))?;
    parse(&text, &name)
}

fn parse(text: &str, origin: &str) -> Result<Layer, Problem> {
    let tree: Json = serde_saphyr::from_str(text)
        // Without the lines around the mistake: the file may be a private key by mistake.
        .map_err(|error| {
            Problem::whole(origin, format!("the configuration is no YAML: {}", error.without_snippet()))
        })?;
    match tree {
        Json::Object(_) | Json::Null => Ok(Layer::of_tree(tree, origin)),
        _ => Err(Problem::whole(origin, "the configuration must be a mapping of sections".to_owned())),
    }
}
