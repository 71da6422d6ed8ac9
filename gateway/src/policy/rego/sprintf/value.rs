//! An argument, as OPA hands it to Go.

use std::borrow::Cow;

use num_bigint::BigUint;

use super::float::float;
use super::spec::Spec;
use crate::hex;
use crate::policy::rego::EvalError;
use crate::policy::rego::quote::{self, Letters, escape, quoted};
use crate::policy::rego::term::Term;

/// Numbers of more digits are written as they came, and not in another base, which takes the square of the steps.
const MOST_DIGITS: usize = 10_000;

pub(super) enum Value<'a> {
    Integer(i64),
    /// The digits of a whole number that is no `i64`, and whether it is negative.
    Big(bool, String),
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    pub(super) fn of(term: &'a Term) -> Self {
        match term {
            Term::Number(number) if number.text().contains(['.', 'e', 'E']) => match number.value() {
                value if value.is_finite() => Self::Float(value),
                _ => Self::Text(number.text().into()),
            },
            Term::Number(number) => match number.text().parse() {
                Ok(value) => Self::Integer(value),
                Err(_) => Self::Big(number.text().starts_with('-'), number.text().trim_start_matches('-').to_owned()),
            },
            Term::String(text) => Self::Text(text.into()),
            other => Self::Text(other.to_string().into()),
        }
    }

    /// Go's name of its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "int64",
            Self::Big(..) => "*big.Int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
        }
    }

    /// As `%v`.
    pub(super) fn plain(&self) -> Result<String, EvalError> {
        self.format('v', &Spec::default())
    }

    pub(super) fn format(&self, verb: char, spec: &Spec) -> Result<String, EvalError> {
        if verb == 'T' {
            return Ok(spec.pad(spec.cut(self.kind())));
        }
        let spec = if matches!(verb, 'v' | 'w') { spec.general() } else { *spec };
        if let Self::Big(negative, digits) = self {
            return big(*negative, digits, verb, &spec);
        }
        let formatted = self.by_verb(verb, &spec);
        // What does not fit is shown by `%v`, with the same flags.
        let shown = || format!("%!{verb}({}={})", self.kind(), self.by_verb('v', &spec).unwrap_or_default());
        Ok(formatted.unwrap_or_else(shown))
    }

    fn by_verb(&self, verb: char, spec: &Spec) -> Option<String> {
        match (self, verb) {
            (Self::Integer(value), _) => integer(*value, verb, spec),
            (Self::Float(value), 'v') => Some(float(*value, 'g', spec)),
            (Self::Float(value), 'b' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'x' | 'X') => {
                Some(float(*value, verb, spec))
            }
            (Self::Text(text), 'v') if spec.sharp_v => Some(quoted_text(text, spec)),
            (Self::Text(text), 's' | 'v') => Some(spec.pad(spec.cut(text))),
            (Self::Text(text), 'q') => Some(quoted_text(text, spec)),
            (Self::Text(text), 'x' | 'X') => Some(hexadecimal(text, verb, spec)),
            _ => None,
        }
    }
}

fn integer(value: i64, verb: char, spec: &Spec) -> Option<String> {
    let size = value.unsigned_abs();
    let digits = match verb {
        'd' | 'v' => size.to_string(),
        'b' => format!("{size:b}"),
        'o' | 'O' => format!("{size:o}"),
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'U' => return Some(unicode(value, spec)),
        'c' => return Some(spec.pad(&character(value).to_string())),
        'q' => {
            let letters = if spec.plus { Letters::Ascii } else { Letters::All };
            let mut text = String::from("'");
            escape(&mut text, character(value), '\'', letters);
            text.push('\'');
            return Some(spec.pad(&text));
        }
        _ => return None,
    };
    Some(whole(value < 0, &digits, verb, spec))
}

/// Digits with what stands before them. Zeros that fill the width take no account of the base's mark.
fn whole(negative: bool, digits: &str, verb: char, spec: &Spec) -> String {
    let sign = spec.sign(negative);
    let blanks = Spec { zero: false, ..*spec };
    if spec.precision == Some(0) && digits == "0" {
        return " ".repeat(spec.width.unwrap_or(0));
    }
    let least = match spec.precision {
        Some(precision) => precision,
        None if spec.zero && !spec.minus => spec.width.unwrap_or(0).saturating_sub(sign.len()),
        None => 0,
    };
    let digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
    let mark = match verb {
        'b' if spec.sharp => "0b",
        'o' | 'O' if spec.sharp && !digits.starts_with('0') => "0",
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        _ => "",
    };
    let octal = if verb == 'O' { "0o" } else { "" };
    blanks.pad(&format!("{sign}{octal}{mark}{digits}"))
}

/// Go's `big.Int` formats itself.
fn big(negative: bool, digits: &str, verb: char, spec: &Spec) -> Result<String, EvalError> {
    let sign = Spec { plus: spec.plus || spec.plus_v, ..*spec }.sign(negative);
    let base = match verb {
        'b' => 2,
        'o' | 'O' => 8,
        'd' | 's' | 'v' => 10,
        'x' | 'X' => 16,
        'p' | 'w' => return Err(EvalError::Unsupported(format!("sprintf with %{verb} of a number beyond 64 bits"))),
        // Neither its pointer nor a width is in its complaint.
        _ => return Ok(format!("%!{verb}(big.Int={}{digits})", if negative { "-" } else { "" })),
    };
    let digits = if base == 10 { digits.to_owned() } else { in_base(digits, base)? };
    let digits = if verb == 'X' { digits.to_uppercase() } else { digits };
    let mark = match (verb, spec.sharp) {
        ('O', _) => "0o",
        ('b', true) => "0b",
        ('o', true) => "0",
        ('x', true) => "0x",
        ('X', true) => "0X",
        _ => "",
    };
    let zeros = spec.precision.unwrap_or(0).saturating_sub(digits.len());
    let missing = spec.missing(sign.len() + mark.len() + zeros + digits.len());
    let written = |zeros: usize| format!("{sign}{mark}{}{digits}", "0".repeat(zeros));
    Ok(match (spec.minus, spec.zero && spec.precision.is_none()) {
        (true, _) => format!("{}{}", written(zeros), " ".repeat(missing)),
        (_, true) => written(missing),
        _ => format!("{}{}", " ".repeat(missing), written(zeros)),
    })
}

fn in_base(digits: &str, base: u32) -> Result<String, EvalError> {
    let number =
        Some(digits).filter(|digits| digits.len() <= MOST_DIGITS).and_then(|digits| digits.parse::<BigUint>().ok());
    let long =
        || EvalError::Unsupported(format!("sprintf with a number of more than {MOST_DIGITS} digits in another base"));
    Ok(number.ok_or_else(long)?.to_str_radix(base))
}

/// A negative number's bits. With `#`, the character too, if it can be shown.
fn unicode(value: i64, spec: &Spec) -> String {
    let digits = spec.precision.unwrap_or(0).max(4);
    let shown =
        u32::try_from(value).ok().and_then(char::from_u32).filter(|shown| spec.sharp && quote::is_printable(*shown));
    let shown = shown.map_or(String::new(), |shown| format!(" '{shown}'"));
    let written = format!("{value:X}");
    // The standard library's widths are 16 bits wide.
    let zeros = "0".repeat(digits.saturating_sub(written.len()));
    Spec { zero: false, ..*spec }.pad(&format!("U+{zeros}{written}{shown}"))
}

fn character(value: i64) -> char {
    u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn quoted_text(text: &str, spec: &Spec) -> String {
    let text = spec.cut(text);
    if spec.sharp && quote::can_stand_between_backquotes(text) {
        return spec.pad(&format!("`{text}`"));
    }
    spec.pad(&quoted(text, if spec.plus { Letters::Ascii } else { Letters::All }))
}

/// Bytes, apart from each other with a blank, and marked with `#`.
fn hexadecimal(text: &str, verb: char, spec: &Spec) -> String {
    let length = spec.precision.unwrap_or(usize::MAX).min(text.len());
    let bytes = &text.as_bytes()[..length];
    let (mark, digits) = match verb {
        'X' => ("0X", hex::encode(bytes).to_ascii_uppercase()),
        _ => ("0x", hex::encode(bytes)),
    };
    let mark = if spec.sharp && length > 0 { mark } else { "" };
    if !spec.space {
        return spec.pad(&format!("{mark}{digits}"));
    }
    let pairs: Vec<String> =
        digits.as_bytes().chunks(2).map(|pair| format!("{mark}{}", String::from_utf8_lossy(pair))).collect();
    spec.pad(&pairs.join(" "))
}
