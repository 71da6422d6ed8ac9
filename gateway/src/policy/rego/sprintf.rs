//! Rego's `sprintf`, which is Go's `fmt.Sprintf` over three kinds of arguments: whole numbers, other numbers, and text.
//! OPA hands over everything else as text.
//!
//! A verb that does not fit its argument is written as Go writes it, `%!d(string=hi)`. Arguments by number (`%[1]d`),
//! widths from arguments (`%*d`), the flag `#` and hexadecimal floats are not there: they end the evaluation, which
//! is seen, where another text would not be.

mod float;
#[cfg(test)]
mod tests;

use std::iter::Peekable;
use std::str::Chars;

use self::float::float;
use super::EvalError;
use super::deadline::Deadline;
use super::quote::{escape, quoted};
use super::term::Term;
use crate::hex;

/// A width or a precision that is longer than this before its last digit is none, as in Go.
const CRAZY: usize = 1_000_000;

/// Formats `values` until the deadline. A text longer than `limit` bytes is an error.
pub(super) fn sprintf(format: &str, values: &[Term], limit: usize, deadline: &Deadline) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    let mut values = values.iter().map(Value::of);
    while let Some(next) = rest.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        let spec = Spec::parse(&mut rest, limit)?;
        // What a verb costs is bounded by the limit, but not by what it adds to the text.
        deadline.check()?;
        match spec.verb {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match values.next() {
                Some(value) => out.push_str(&value.format(verb, &spec)?),
                None => out.extend(["%!", verb.encode_utf8(&mut [0; 4]), "(MISSING)"]),
            },
        }
        within(&out, limit)?;
    }
    let surplus: Vec<_> = values.map(|value| format!("{}={}", value.kind(), value.plain())).collect();
    if !surplus.is_empty() {
        out.extend(["%!(EXTRA ", &surplus.join(", "), ")"]);
    }
    within(&out, limit)?;
    Ok(out)
}

fn within(out: &str, limit: usize) -> Result<(), EvalError> {
    if out.len() > limit { Err(EvalError::Output(limit)) } else { Ok(()) }
}

/// A conversion: `%`, flags, width, precision, verb.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own in a format")]
struct Spec {
    plus: bool,
    minus: bool,
    zero: bool,
    space: bool,
    width: usize,
    precision: Option<usize>,
    verb: Option<char>,
}

impl Spec {
    fn parse(rest: &mut Peekable<Chars<'_>>, limit: usize) -> Result<Self, EvalError> {
        let mut spec = Self::default();
        while let Some(flag) = rest.next_if(|next| "+-0 ".contains(*next)) {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '0' => spec.zero = true,
                _ => spec.space = true,
            }
        }
        spec.width = number(rest);
        // A point that ends the format is the verb.
        if rest.peek() == Some(&'.') && rest.clone().nth(1).is_some() {
            rest.next();
            // Whatever is written with more digits than the limit is too long, so more need not be told apart.
            spec.precision = Some(number(rest).min(limit + 1));
        }
        spec.verb = rest.next();
        match spec.verb {
            Some(verb @ ('#' | '*' | '[')) => Err(EvalError::Unsupported(format!("sprintf with %{verb}"))),
            // Every other verb writes as much as its width.
            Some(verb) if verb != '%' && spec.width > limit => Err(EvalError::Output(limit)),
            _ => Ok(spec),
        }
    }

    /// Fills up to the width. Zeros go between a number's sign and its digits.
    fn pad(&self, text: &str, numeric: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if !self.zero {
            return format!("{}{text}", " ".repeat(missing));
        }
        let digits = if numeric { text.trim_start_matches(['+', '-', ' ']) } else { text };
        let sign = &text[..text.len() - digits.len()];
        format!("{sign}{}{digits}", "0".repeat(missing))
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        }
    }

    fn integer(&self, negative: bool, digits: &str) -> String {
        let shown = if self.precision == Some(0) && digits == "0" { "" } else { digits };
        let zeros = "0".repeat(self.precision.unwrap_or(0).saturating_sub(shown.len()));
        let text = format!("{}{zeros}{shown}", self.sign(negative));
        let zero = self.zero && self.precision.is_none();
        Self { zero, ..*self }.pad(&text, true)
    }

    fn text(&self, text: &str) -> String {
        self.pad(&self.cut(text), false)
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }
}

/// A width or a precision; 0 where there is none. One that is beyond Go's measure takes the rest of the format with it.
fn number(rest: &mut Peekable<Chars<'_>>) -> usize {
    let mut value = 0_usize;
    while let Some(digit) = rest.peek().and_then(|next| next.to_digit(10)) {
        if value > CRAZY {
            rest.by_ref().for_each(drop);
            return 0;
        }
        rest.next();
        value = value * 10 + digit as usize;
    }
    value
}

/// An argument, as OPA hands it to Go.
enum Value {
    Integer(i64),
    /// The digits of a whole number that is no `i64`, and whether it is negative.
    Big(bool, String),
    Float(f64),
    Text(String),
}

impl Value {
    fn of(term: &Term) -> Self {
        match term {
            Term::Number(number) if number.text().contains(['.', 'e', 'E']) => match number.value() {
                value if value.is_finite() => Self::Float(value),
                _ => Self::Text(number.text().to_owned()),
            },
            Term::Number(number) => match number.text().parse() {
                Ok(value) => Self::Integer(value),
                Err(_) => Self::Big(number.text().starts_with('-'), number.text().trim_start_matches('-').to_owned()),
            },
            Term::String(text) => Self::Text(text.clone()),
            other => Self::Text(other.to_string()),
        }
    }

    /// Go's name of its type.
    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "int64",
            Self::Big(..) => "*big.Int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
        }
    }

    fn plain(&self) -> String {
        self.as_v(&Spec::default())
    }

    fn as_v(&self, spec: &Spec) -> String {
        match self {
            Self::Integer(value) => spec.integer(*value < 0, &value.unsigned_abs().to_string()),
            Self::Big(negative, digits) => spec.integer(*negative, digits),
            Self::Float(value) => float(*value, 'g', spec),
            Self::Text(text) => spec.text(text),
        }
    }

    fn format(&self, verb: char, spec: &Spec) -> Result<String, EvalError> {
        let formatted = match (self, verb) {
            // In `%+v`, the plus is not about signs, except where a number formats itself.
            (Self::Big(..), 'v' | 'd' | 's') => Some(self.as_v(spec)),
            (_, 'v') => Some(self.as_v(&Spec { plus: false, ..*spec })),
            (_, 'T') => Some(spec.text(self.kind())),
            (Self::Integer(value), _) if verb != 'q' || !spec.plus => integer(*value, verb, spec),
            (Self::Float(value), 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => Some(float(*value, verb, spec)),
            (Self::Text(text), 's') => Some(spec.text(text)),
            (Self::Text(text), 'q') if !spec.plus => Some(spec.pad(&quoted(&spec.cut(text)), false)),
            (Self::Text(text), 'x') if !spec.space => Some(spec.pad(&hexadecimal(text, spec), false)),
            (Self::Text(text), 'X') if !spec.space => {
                Some(spec.pad(&hexadecimal(text, spec).to_ascii_uppercase(), false))
            }
            (Self::Big(..) | Self::Float(_), 'b' | 'o' | 'O' | 'x' | 'X')
            | (Self::Text(_), 'q' | 'x' | 'X')
            | (Self::Integer(_), 'q') => {
                return Err(EvalError::Unsupported(format!("sprintf with %{verb} of {} and these flags", self.kind())));
            }
            // `big.Int` formats itself, and neither its pointer nor a width is in its complaint.
            (Self::Big(..), _) => Some(format!("%!{verb}(big.Int={})", self.plain())),
            _ => None,
        };
        Ok(formatted.unwrap_or_else(|| format!("%!{verb}({}={})", self.kind(), self.as_v(spec))))
    }
}

fn integer(value: i64, verb: char, spec: &Spec) -> Option<String> {
    let (negative, size) = (value < 0, value.unsigned_abs());
    let digits = match verb {
        'd' => size.to_string(),
        'b' => format!("{size:b}"),
        'o' => format!("{size:o}"),
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'O' => return Some(spec.pad(&format!("{}0o{size:o}", spec.sign(negative)), true)),
        // A negative number's bits.
        'U' => return Some(spec.pad(&format!("U+{value:04X}"), false)),
        'c' => return Some(spec.pad(&character(value).to_string(), false)),
        'q' => {
            let mut text = String::from("'");
            escape(&mut text, character(value), '\'');
            text.push('\'');
            return Some(spec.pad(&text, false));
        }
        _ => return None,
    };
    Some(spec.integer(negative, &digits))
}

fn character(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn hexadecimal(text: &str, spec: &Spec) -> String {
    let length = spec.precision.unwrap_or(usize::MAX).min(text.len());
    hex::encode(&text.as_bytes()[..length])
}
