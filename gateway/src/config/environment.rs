//! Variables: `SCALEGATE__LISTEN__MAX_CONNECTIONS` is `listen.maxConnections`.

use super::Problem;
use crate::text;

/// What the names of the gateway's variables begin with.
pub(super) const PREFIX: &str = "SCALEGATE__";
/// The most bytes of a wrong value that are shown.
const SHOWN: usize = 100;

/// A variable that sets a field.
#[derive(Debug)]
pub(super) struct Variable {
    /// The field's path.
    pub(super) field: String,
    pub(super) value: String,
    pub(super) name: String,
}

/// The variables that set one of the `known` fields, and those that begin like one and do not.
pub(super) fn variables(environment: Vec<(String, String)>, known: &[String]) -> (Vec<Variable>, Vec<Problem>) {
    let (mut variables, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let field = field(rest);
        if known.contains(&field) {
            variables.push(Variable { field, value, name });
        } else {
            let value = format!("{:?}", text::cut(&value, SHOWN));
            problems.push(Problem {
                allowed: problem(rest, &field, known),
                field: name,
                value: Some(value),
                origin: None,
            });
        }
    }
    (variables, problems)
}

/// What is wrong with a variable that would set `field`.
fn problem(rest: &str, field: &str, known: &[String]) -> String {
    let alike = |text: &str| text.replace(['_', '.'], "").to_lowercase();
    let inside = format!("{field}.");
    if let Some(one) = known.iter().find(|known| known.starts_with(&inside)) {
        format!("names a section; name a field in it, such as {}", name(one))
    } else if let Some(meant) = known.iter().find(|known| alike(known) == alike(rest)) {
        format!("names no field of the configuration; {} sets {meant}", name(meant))
    } else {
        "names no field of the configuration".to_owned()
    }
}

/// The field that a variable names.
fn field(rest: &str) -> String {
    rest.split("__").map(camel_case).collect::<Vec<_>>().join(".")
}

fn camel_case(words: &str) -> String {
    let mut name = String::new();
    for word in words.split('_') {
        let word = word.to_ascii_lowercase();
        match word.chars().next() {
            Some(first) if !name.is_empty() => {
                name.push(first.to_ascii_uppercase());
                name.extend(word.chars().skip(1));
            }
            _ => name.push_str(&word),
        }
    }
    name
}

/// The variable that sets a field.
fn name(field: &str) -> String {
    let mut name = PREFIX.to_owned();
    for c in field.chars() {
        match c {
            '.' => name.push_str("__"),
            c if c.is_ascii_uppercase() => name.extend(['_', c]),
            c => name.push(c.to_ascii_uppercase()),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_variable() {
        for (path, variable) in [
            ("audit.whenFull", "SCALEGATE__AUDIT__WHEN_FULL"),
            ("audit.redactKeyFile", "SCALEGATE__AUDIT__REDACT_KEY_FILE"),
            ("listen.drain.grace", "SCALEGATE__LISTEN__DRAIN__GRACE"),
            ("tls.clientCas", "SCALEGATE__TLS__CLIENT_CAS"),
        ] {
            assert_eq!(name(path), variable);
            assert_eq!(variable.strip_prefix(PREFIX).map(field).as_deref(), Some(path));
        }
    }
}
