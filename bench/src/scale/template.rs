//! JSON templates for the generated objects.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::fleet::Entry;

/// A value that differs between the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    Namespace,
    Name,
    /// The workload that an autoscaler drives.
    Of,
    Version,
    /// The object's number, as eight hexadecimal digits.
    Hex,
    /// The number's last two digits: one object in a hundred has each value.
    Hundredth,
    /// The number of replicas.
    Count,
    /// The version's last digit, which changes with each version.
    Digit,
    /// The most replicas that an autoscaler sets.
    Limit,
}

impl Hole {
    const ALL: [(&'static str, Self); 9] = [
        ("namespace", Self::Namespace),
        ("name", Self::Name),
        ("of", Self::Of),
        ("version", Self::Version),
        ("hex", Self::Hex),
        ("hundredth", Self::Hundredth),
        ("count", Self::Count),
        ("digit", Self::Digit),
        ("limit", Self::Limit),
    ];
}

/// A JSON document with placeholders such as `$name`.
#[derive(Debug)]
pub(crate) struct Template {
    first: String,
    rest: Vec<(Hole, String)>,
}

impl Template {
    /// Parses a template. Line breaks and indentation are removed: an API server sends none.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text: String = text.lines().map(str::trim_start).collect();
        let mut parts = text.split('$');
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| {
            // The longest name first: `$namespace` begins with `$name`.
            let found =
                Hole::ALL.into_iter().filter(|(name, _)| part.starts_with(name)).max_by_key(|(name, _)| name.len());
            let (name, hole) = found.with_context(|| format!("no such hole: ${part:.20}"))?;
            Ok((hole, part[name.len()..].to_owned()))
        });
        Ok(Self { first, rest: rest.collect::<Result<_>>()? })
    }

    /// Appends the document of `entry` at `version` to `text`.
    pub(crate) fn render(&self, text: &mut String, entry: &Entry, version: u64) {
        text.push_str(&self.first);
        for (hole, after) in &self.rest {
            // Writing to a String cannot fail.
            let _ = match hole {
                Hole::Namespace => text.write_str(&entry.namespace),
                Hole::Name => text.write_str(&entry.name),
                Hole::Of => text.write_str(&entry.of),
                Hole::Version => write!(text, "{version}"),
                Hole::Hex => write!(text, "{:08x}", entry.number),
                Hole::Hundredth => write!(text, "{:02}", entry.number % 100),
                Hole::Count => write!(text, "{}", entry.count()),
                Hole::Digit => write!(text, "{}", version % 10),
                Hole::Limit => write!(text, "{}", entry.limit(version)),
            };
            text.push_str(after);
        }
    }
}
