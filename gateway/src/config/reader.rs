//! Takes typed fields out of the merged tree and notes everything that is wrong with them.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use config::{Value, ValueKind};

use super::Problem;

/// Reads fields by their dotted path. A field that is wrong yields a stand-in, which is never used because
/// [`Reader::finish`] then gives errors instead of a configuration.
pub(super) struct Reader {
    tree: Value,
    problems: Vec<Problem>,
    /// All fields that were asked for.
    known: Vec<String>,
}

impl Reader {
    pub(super) fn new(tree: Value) -> Self {
        Self { tree, problems: Vec::new(), known: Vec::new() }
    }

    /// All problems; fields that nobody took are unknown, and so problems too.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        let mut unknown = Vec::new();
        leaves(&self.tree, String::new(), &mut unknown);
        for problem in &mut unknown {
            let inside = format!("{}.", problem.field);
            if self.known.iter().any(|known| known.starts_with(&inside)) {
                "must be a mapping of fields".clone_into(&mut problem.allowed);
                // What it should hold is not there for this reason.
                self.problems.retain(|it| it.value.is_some() || !it.field.starts_with(&inside));
            } else if let Some(known) = self.known.iter().find(|known| known.eq_ignore_ascii_case(&problem.field)) {
                problem.allowed = format!("{}, {known} is one", problem.allowed);
            }
        }
        self.problems.extend(unknown);
        self.problems
    }

    /// All fields that were asked for.
    pub(super) fn known(self) -> Vec<String> {
        self.known
    }

    /// Notes that `field` has a value that is not allowed.
    pub(super) fn reject(&mut self, field: &str, value: impl Display, allowed: impl Into<String>) {
        self.problems.push(Problem {
            field: field.to_owned(),
            value: Some(value.to_string()),
            origin: None,
            allowed: allowed.into(),
        });
    }

    pub(super) fn text(&mut self, field: &str, allowed: &str) -> Option<String> {
        self.parsed(field, allowed, |text| (!text.trim().is_empty()).then(|| text.to_owned()))
    }

    pub(super) fn optional_text(&mut self, field: &str, allowed: &str) -> Option<String> {
        if self.is_set(field) { self.text(field, allowed) } else { None }
    }

    pub(super) fn path(&mut self, field: &str) -> PathBuf {
        self.text(field, "must be the path of a file or directory").map(PathBuf::from).unwrap_or_default()
    }

    pub(super) fn optional_path(&mut self, field: &str) -> Option<PathBuf> {
        self.is_set(field).then(|| self.path(field))
    }

    pub(super) fn address(&mut self, field: &str) -> SocketAddr {
        let allowed = "must be an IP address and a port, such as [::]:8443 or 0.0.0.0:8443";
        self.parsed(field, allowed, |text| text.parse().ok()).unwrap_or_else(|| SocketAddr::from(([0; 4], 0)))
    }

    pub(super) fn choice<T: Copy + Default>(&mut self, field: &str, choices: &[(&str, T)]) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let find = |text: &str| choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        self.parsed(field, &format!("must be {}", names.join(" or ")), find).unwrap_or_default()
    }

    pub(super) fn duration(&mut self, field: &str, bounds: &RangeInclusive<Duration>) -> Duration {
        let allowed = format!(
            "must be a duration with its unit from {} to {}, such as 500ms, 10s or 2m",
            humantime::format_duration(*bounds.start()),
            humantime::format_duration(*bounds.end())
        );
        let parse = |text: &str| humantime::parse_duration(text).ok().filter(|duration| bounds.contains(duration));
        self.parsed(field, &allowed, parse).unwrap_or_default()
    }

    pub(super) fn count<N>(&mut self, field: &str, bounds: &RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        self.number(field, "a whole number", bounds)
    }

    pub(super) fn ratio(&mut self, field: &str) -> f64 {
        self.number(field, "a number", &(0.0..=1.0))
    }

    fn number<N>(&mut self, field: &str, what: &str, bounds: &RangeInclusive<N>) -> N
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let allowed = format!("must be {what} from {} to {}", bounds.start(), bounds.end());
        let parse = |text: &str| text.parse().ok().filter(|number| bounds.contains(number));
        self.parsed(field, &allowed, parse).unwrap_or(*bounds.start())
    }

    /// A list of texts, or one text that separates them by commas.
    pub(super) fn list(&mut self, field: &str, allowed: &str) -> Vec<String> {
        self.values(field, allowed)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, value)| match value.kind {
                ValueKind::String(text) if !text.trim().is_empty() => Some(text),
                _ => {
                    self.wrong(&name, &value, allowed);
                    None
                }
            })
            .collect()
    }

    /// The items of a list with their paths, if it is one. The whole may be one text that separates them by commas.
    pub(super) fn values(&mut self, field: &str, allowed: &str) -> Option<Vec<(String, Value)>> {
        let Some(value) = self.take(field) else {
            self.missing(field, allowed);
            return None;
        };
        let origin = value.origin().map(str::to_owned);
        let items = match &value.kind {
            ValueKind::Array(items) => items.clone(),
            ValueKind::String(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::new(origin.as_ref(), item))
                .collect(),
            _ => {
                self.wrong(field, &value, allowed);
                return None;
            }
        };
        Some(items.into_iter().enumerate().map(|(index, item)| (format!("{field}[{index}]"), item)).collect())
    }

    /// Notes that what stands at `field` is not allowed.
    pub(super) fn wrong(&mut self, field: &str, value: &Value, allowed: &str) {
        self.problems.push(Problem {
            field: field.to_owned(),
            value: Some(shown(value)),
            origin: value.origin().map(str::to_owned),
            allowed: allowed.to_owned(),
        });
    }

    pub(super) fn missing(&mut self, field: &str, allowed: &str) {
        self.problems.push(Problem {
            field: field.to_owned(),
            value: None,
            origin: None,
            allowed: format!("is required and {allowed}"),
        });
    }

    fn parsed<T>(&mut self, field: &str, allowed: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some(value) = self.take(field) else {
            self.missing(field, allowed);
            return None;
        };
        // Variables and flags are text; a number in the file is the same text without quotes.
        let text = match &value.kind {
            ValueKind::String(text) => Some(text.clone()),
            ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::Float(_) => Some(value.to_string()),
            _ => None,
        };
        let parsed = text.as_deref().and_then(parse);
        if parsed.is_none() {
            self.wrong(field, &value, allowed);
        }
        parsed
    }

    pub(super) fn is_set(&mut self, field: &str) -> bool {
        self.known.push(field.to_owned());
        let mut value = &self.tree;
        for key in field.split('.') {
            match &value.kind {
                ValueKind::Table(fields) if fields.contains_key(key) => value = &fields[key],
                _ => return false,
            }
        }
        true
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.known.push(field.to_owned());
        let (sections, key) = field.rsplit_once('.')?;
        let mut value = &mut self.tree;
        for section in sections.split('.') {
            match &mut value.kind {
                ValueKind::Table(fields) => value = fields.get_mut(section)?,
                _ => return None,
            }
        }
        match &mut value.kind {
            ValueKind::Table(fields) => fields.remove(key),
            _ => None,
        }
    }
}

/// What is left of the tree, as unknown fields.
fn leaves(value: &Value, path: String, unknown: &mut Vec<Problem>) {
    if let ValueKind::Table(fields) = &value.kind {
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(key, _)| *key);
        for (key, field) in fields {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            leaves(field, path, unknown);
        }
        return;
    }
    unknown.push(Problem {
        field: path,
        value: Some(shown(value)),
        origin: value.origin().map(str::to_owned),
        allowed: "is no field of the configuration".to_owned(),
    });
}

fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a mapping".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Nil => "null".to_owned(),
        _ => value.to_string(),
    }
}
