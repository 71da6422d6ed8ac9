//! Rego's `sprintf`, which is Go's `fmt.Sprintf` over three kinds of arguments: whole numbers, other numbers, and text.
//! OPA hands over everything else as text.
//!
//! A verb that does not fit its argument is written as Go writes it, `%!d(string=hi)`. Arguments by number (`%[1]d`),
//! widths from arguments (`%*d`), the flag `#` and hexadecimal floats are not there: they end the evaluation, which
//! is seen, where another text would not be.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use super::EvalError;
use super::term::Term;
use crate::hex;

/// A width or a precision that is longer than this before its last digit is none, as in Go.
const CRAZY: usize = 1_000_000;

/// No float has more digits than this, on either side of its point. Further ones are zeros, which the standard library,
/// whose precision is 16 bits wide, need not write.
const FLOAT_DIGITS: usize = 1_100;

/// Formats `values`. A text longer than `limit` bytes is an error.
pub(super) fn sprintf(format: &str, values: &[Term], limit: usize) -> Result<String, EvalError> {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    let mut values = values.iter().map(Value::of);
    while let Some(next) = rest.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        let spec = Spec::parse(&mut rest, limit)?;
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

/// Text in quotes, as Go's `strconv.Quote` puts it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    text.chars().for_each(|character| escape(&mut out, character, '"'));
    out.push('"');
    out
}

fn escape(out: &mut String, character: char, quote: char) {
    match character {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        _ if character == quote => out.extend(['\\', quote]),
        _ => escape_unprintable(out, character),
    }
}

fn escape_unprintable(out: &mut String, character: char) {
    let code = u32::from(character);
    let shown = !(character.is_control() || character.is_whitespace() || character.escape_debug().len() > 2);
    let printable = character == ' ' || shown;
    let written = match code {
        _ if printable => write!(out, "{character}"),
        0..=0x7f => write!(out, "\\x{code:02x}"),
        0x80..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
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
            Term::Number(text) if text.contains(['.', 'e', 'E']) => match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Self::Float(value),
                _ => Self::Text(text.clone()),
            },
            Term::Number(text) => match text.parse() {
                Ok(value) => Self::Integer(value),
                Err(_) => Self::Big(text.starts_with('-'), text.trim_start_matches('-').to_owned()),
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

fn float(value: f64, verb: char, spec: &Spec) -> String {
    let size = value.abs();
    let precision = spec.precision.unwrap_or(6);
    let (written, zeros) = (precision.min(FLOAT_DIGITS), "0".repeat(precision.saturating_sub(FLOAT_DIGITS)));
    let digits = match verb.to_ascii_lowercase() {
        'e' => exponent(&format!("{size:.written$e}").replacen('e', &format!("{zeros}e"), 1)),
        'f' => format!("{size:.written$}{zeros}"),
        _ => general(size, spec.precision.map(|precision| precision.min(FLOAT_DIGITS))),
    };
    let digits = if verb.is_ascii_uppercase() { digits.to_ascii_uppercase() } else { digits };
    spec.pad(&format!("{}{digits}", spec.sign(value.is_sign_negative())), true)
}

/// `%g`: the shortest digits that read back as the value, or `precision` of them; with an exponent where it is less
/// than -4, or not less than the precision, or than 6 for the shortest.
fn general(size: f64, precision: Option<usize>) -> String {
    let scientific = match precision {
        Some(precision) => format!("{size:.*e}", precision.max(1) - 1),
        None => format!("{size:e}"),
    };
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i64 = power.parse().unwrap_or(0);
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let most = precision.map_or(SHORTEST, |precision| i64::try_from(precision.max(1)).unwrap_or(i64::MAX));
    if power < -4 || power >= most {
        return exponent(&format!("{mantissa}e{power}"));
    }
    let digits = i64::try_from(mantissa.trim_start_matches("0.").replace('.', "").len()).unwrap_or(0);
    let places = usize::try_from(digits - 1 - power).unwrap_or(0);
    format!("{size:.places$}")
}

/// What Go takes for the precision, in this, where the digits are the shortest.
const SHORTEST: i64 = 6;

/// An exponent as Go writes it: with a sign and two digits at least.
fn exponent(scientific: &str) -> String {
    let (mantissa, power) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

    use super::*;

    const LIMIT: usize = 1 << 10;

    /// Format, arguments, and what `opa eval` 1.22.2 makes of them.
    const CASES: &[(&str, &str, &str)] = &[
        ("%v %s %d", r#"["a", "b", 3]"#, "a b 3"),
        ("%d", r#"["hi"]"#, "%!d(string=hi)"),
        ("%s", "[5]", "%!s(int64=5)"),
        ("%t", "[true]", "%!t(string=true)"),
        ("%v %v %v", r#"[true, null, [1,"x"]]"#, r#"true null [1, "x"]"#),
        ("%v", r#"[{"a": {1,2}}]"#, r#"{"a": {1, 2}}"#),
        ("%x %X", r#"[255, "hi"]"#, "ff 6869"),
        ("%q", r#"["a\"b\n"]"#, r#""a\"b\n""#),
        ("%q", "[65]", "'A'"),
        ("%5d|%-5d|%05d|%+d", "[42,42,42,42]", "   42|42   |00042|+42"),
        ("%8.3f|%f|%.0f", "[3.14159, 2.5, 2.5]", "   3.142|2.500000|2"),
        ("%v", "[1e21]", "1e+21"),
        ("%v", "[1.5e-7]", "1.5e-07"),
        ("%v", "[0.1]", "0.1"),
        ("%v", "[123456789012345678901234567890]", "123456789012345678901234567890"),
        ("%s", "[123456789012345678901234567890]", "123456789012345678901234567890"),
        ("%d", "[3.5]", "%!d(float64=3.5)"),
        ("%f", "[3]", "%!f(int64=3)"),
        ("%d", "[]", "%!d(MISSING)"),
        ("a", r#"["b", 3]"#, "a%!(EXTRA string=b, int64=3)"),
        ("%", "[]", "%!(NOVERB)"),
        ("%d%%", "[50]", "50%"),
        ("%z", "[1]", "%!z(int64=1)"),
        ("%!", "[1]", "%!!(int64=1)"),
        ("%s|%10s|%-10s|%.2s", r#"["é", "é", "é", "éàü"]"#, "é|         é|é         |éà"),
        ("%e %g %G", "[1234567.5, 1234567.5, 1e-10]", "1.234568e+06 1.2345675e+06 1E-10"),
        ("%.3g", "[1234567.5]", "1.23e+06"),
        ("%.3e", "[0.00012345]", "1.234e-04"),
        ("%c %U", "[233, 233]", "é U+00E9"),
        ("%b %o %O", "[5, 8, 8]", "101 10 0o10"),
        ("%T", r#"["a"]"#, "string"),
        ("%T", "[1]", "int64"),
        ("%T", "[1.5]", "float64"),
        ("%5t|", "[true]", "%!t(string= true)|"),
        ("%-5q|", r#"["a"]"#, r#""a"  |"#),
        ("%05s|", r#"["ab"]"#, "000ab|"),
        ("% d", "[5]", " 5"),
        ("%x", "[-255]", "-ff"),
        ("%08.3f|", "[-3.14159]", "-003.142|"),
        ("%+.2e", "[12345.678]", "+1.23e+04"),
        ("%6d|", r#"["hi"]"#, "%!d(string=    hi)|"),
        ("%v", r#"["%d"]"#, "%d"),
        ("%.5d|", "[42]", "00042|"),
        ("%8.5d|", "[42]", "   00042|"),
        ("%s", "[1.5]", "%!s(float64=1.5)"),
        ("%v", "[100000.5]", "100000.5"),
        ("%v", "[1e20]", "1e+20"),
        ("%v", "[12345678.5]", "1.23456785e+07"),
        ("%s %s", r#"["a"]"#, "a %!s(MISSING)"),
        ("%v", "[1.0]", "1"),
        ("%d", "[1.0]", "%!d(float64=1)"),
        ("%-05d|", "[42]", "42   |"),
        ("%q", r#"["é\u00a0\u0007\u001b"]"#, r#""é\u00a0\a\x1b""#),
        ("%x", r#"["é"]"#, "c3a9"),
        ("%é", "[1]", "%!é(int64=1)"),
        ("%s%", r#"["a"]"#, "a%!(NOVERB)"),
        ("%.f", "[2.5]", "2"),
        ("%+v", "[3]", "3"),
        ("%5v|", r#"["a"]"#, "    a|"),
        ("%05v|", "[-42]", "-0042|"),
        ("%010.2f|", "[3.14159]", "0000003.14|"),
        ("%d", "[-5]", "-5"),
        ("%.2v", r#"["abc"]"#, "ab"),
        ("%.3v", "[1234.5678]", "1.23e+03"),
        ("%g", "[100000]", "%!g(int64=100000)"),
        ("%g", "[1e6]", "1e+06"),
        ("%g", "[2000000.5]", "2.0000005e+06"),
        ("%99999999999d|x", "[1]", "%!(NOVERB)%!(EXTRA int64=1)"),
        ("%10000010d|", "[1]", "%!(NOVERB)%!(EXTRA int64=1)"),
        ("%.99999999999s|", r#"["a"]"#, "%!(NOVERB)%!(EXTRA string=a)"),
        ("%.70000s|", r#"["ab"]"#, "ab|"),
        ("%.70000g", "[1.5]", "1.5"),
        ("%99999%|", "[1]", "%|%!(EXTRA int64=1)"),
        ("%!", "[]", "%!!(MISSING)"),
        ("%v", "[-0.0]", "-0"),
        ("%q %q", r#"[0, "\u0000"]"#, r#"'\x00' "\x00""#),
        ("%+v %+v", "[3, 123456789012345678901234567890]", "3 +123456789012345678901234567890"),
        ("%U", "[-1]", "U+FFFFFFFFFFFFFFFF"),
        ("text%.", "[0.1]", "text%!.(float64=0.1)"),
        ("%12z|", "[123456789012345678901234567890]", "%!z(big.Int=123456789012345678901234567890)|"),
    ];

    fn arguments(text: &str) -> Vec<Term> {
        match Term::parse(text.as_bytes()) {
            Ok(Term::Array(arguments)) => arguments,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn it_formats_as_opa_does() {
        for (format, values, expected) in CASES {
            assert_eq!(sprintf(format, &arguments(values), LIMIT).unwrap(), *expected, "{format:?} {values}");
        }
    }

    #[test]
    fn a_number_beyond_all_floats_is_written_as_it_came() {
        assert_eq!(sprintf("%v", &arguments("[1e400]"), LIMIT).unwrap(), "1e400");
    }

    #[test]
    fn a_text_beyond_the_limit_is_an_error() {
        for (format, values) in [
            ("%10000000d", "[1]"),
            ("%.2000f", "[1.5]"),
            ("%.2000d", "[1]"),
            ("%.65536f", "[1.5]"),
            ("%.9999999e", "[1.5]"),
            ("%1000d%1000d", "[1, 2]"),
            (&*"x".repeat(LIMIT + 1), "[]"),
        ] {
            assert_eq!(sprintf(format, &arguments(values), LIMIT), Err(EvalError::Output(LIMIT)), "{format:?}");
        }
    }

    #[test]
    fn precisions_beyond_16_bits_are_written_out() {
        let written = |format: &str| sprintf(format, &arguments("[1.5]"), 1 << 20).unwrap();
        assert_eq!(written("%.65536f"), format!("1.5{}", "0".repeat(65_535)));
        assert_eq!(written("%.70000e"), format!("1.5{}e+00", "0".repeat(69_999)));
        assert_eq!(written("%.70000g"), "1.5");
        assert_eq!(written("%70000.1f").len(), 70_000);
        let smallest = sprintf("%.70000g", &arguments("[5e-324]"), 1 << 20).unwrap();
        assert!(smallest.starts_with("4.940656458412465441765687928682213723650598026143247644255856825006"));
        assert!(smallest.ends_with("e-324"));
    }

    #[test]
    fn what_it_cannot_do_is_an_error() {
        for (format, values) in [
            ("%[1]d", "[1]"),
            ("%*d", "[1, 2]"),
            ("%#v", "[1]"),
            ("%x", "[1.5]"),
            ("% x", r#"["a"]"#),
            ("%+q", "[233]"),
        ] {
            assert!(matches!(sprintf(format, &arguments(values), LIMIT), Err(EvalError::Unsupported(_))), "{format}");
        }
    }
}
