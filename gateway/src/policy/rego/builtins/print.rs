//! `print`: what a policy's author wants to see, in the gateway's log at debug level.

use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::EvalError;
use crate::policy::rego::term::Term;

/// OPA's compiler makes `internal.print` of `print`.
pub(super) const FAMILY: Family = &[("internal.print", print), ("print", print)];

/// How many bytes of a value are shown.
const SHOWN_BYTES: usize = 1024;

/// How many lines one call may show.
const MOST_LINES: usize = 16;

/// Each argument is a set of values, empty for an undefined one; there is a line for each combination of them.
fn print(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::Array(operands)] = arguments else { return Err(Stop::Undefined) };
    if tracing::enabled!(tracing::Level::DEBUG) {
        for line in lines(context, operands)? {
            tracing::debug!(line, "a policy module printed");
        }
    }
    Ok(Term::Bool(true))
}

fn lines(context: &Context, operands: &[Term]) -> Result<Vec<String>, EvalError> {
    let mut lines = vec![String::new()];
    for (index, operand) in operands.iter().enumerate() {
        let mut longer = Vec::new();
        for line in lines {
            for value in values(operand) {
                context.deadline.check()?;
                let blank = if index > 0 { " " } else { "" };
                longer.push(format!("{line}{blank}{value}"));
                if longer.len() == MOST_LINES {
                    break;
                }
            }
        }
        longer.truncate(MOST_LINES);
        lines = longer;
    }
    Ok(lines)
}

fn values(operand: &Term) -> Vec<String> {
    match operand {
        Term::Set(values) if values.is_empty() => vec!["<undefined>".to_owned()],
        Term::Set(values) => values.iter().take(MOST_LINES).map(shown).collect(),
        value => vec![shown(value)],
    }
}

fn shown(value: &Term) -> String {
    let mut text = match value {
        Term::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.truncate(text.floor_char_boundary(SHOWN_BYTES));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::policy::rego::deadline::Deadline;

    fn printed(operands: &str) -> Vec<String> {
        let Term::Array(operands) = Term::parse(operands.as_bytes(), &Deadline::in_an_hour()).unwrap() else {
            return Vec::new();
        };
        lines(&Context::of(1 << 10), &operands).unwrap()
    }

    #[test]
    fn a_line_is_shown_for_each_combination_of_values() {
        assert_eq!(printed(r#"[{"a", "b"}, {1}, set()]"#), ["a 1 <undefined>", "b 1 <undefined>"]);
        assert_eq!(printed("[{[1, {2}]}]"), ["[1, {2}]"]);
        assert_eq!(printed("[]"), [""]);
    }

    #[test]
    fn lines_are_bounded_in_number_and_length() {
        let many = format!("[{}]", ["{1, 2, 3, 4, 5}"; 9].join(","));
        assert_eq!(printed(&many).len(), MOST_LINES);
        let long = format!("[{{\"{}\"}}]", "é".repeat(2 * SHOWN_BYTES));
        assert_eq!(printed(&long), ["é".repeat(SHOWN_BYTES / 2)]);
    }
}
