//! Amounts with units: `10Gi`, `500m`, `1.5 MB` without the blank.

mod decimal;

use self::decimal::Decimal;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("units.parse", parse), ("units.parse_bytes", parse_bytes)];

/// An exponent may have so many digits.
const EXPONENT_DIGITS: usize = 6;

/// A number of units: decimal ones and binary ones, and `m` for a thousandth.
fn parse(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let text = text.replace('"', "");
    let (number, unit) = split(&text).ok_or(Stop::Undefined)?;
    let (first, rest) = unit.split_at(unit.chars().next().map_or(0, char::len_utf8));
    let unit = format!("{first}{}", rest.to_lowercase());
    let decimal = Decimal::read(number)?;
    if unit == "m" {
        // The float that is nearest to a thousandth is this many parts of 2^60.
        return decimal.scaled(context, 1_152_921_504_606_847, 60);
    }
    let base = match unit.strip_suffix('i') {
        Some(letter) => binary(letter),
        // Only in upper case, since `m` is a thousandth.
        None if unit == "M" => Some(1_000_000),
        None => thousands(&unit),
    };
    decimal.scaled(context, base.ok_or(Stop::Undefined)?, 0)
}

/// A number of bytes, rounded down.
fn parse_bytes(context: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    let text = text.to_lowercase().replace('"', "");
    let (number, unit) = split(&text).ok_or(Stop::Undefined)?;
    let letter = unit.strip_suffix('b').filter(|rest| !rest.is_empty()).unwrap_or(unit);
    let base = match letter.strip_suffix('i') {
        Some(letter) => binary(letter),
        None => thousands(letter),
    };
    let base = base.ok_or(Stop::Undefined)?;
    let decimal = Decimal::read(number)?;
    decimal.whole(context, base)
}

fn binary(letter: &str) -> Option<u64> {
    power(letter).filter(|power| *power > 0).map(|power| 1 << (10 * power))
}

fn thousands(letter: &str) -> Option<u64> {
    power(letter).map(|power| 1_000_u64.pow(power))
}

fn power(letter: &str) -> Option<u32> {
    let power = ["", "k", "m", "g", "t", "p", "e"].iter().position(|known| known.eq_ignore_ascii_case(letter));
    power.and_then(|power| u32::try_from(power).ok())
}

/// The number and the unit. An `e` is an exponent's if digits or a sign follow it.
fn split(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    if text.contains(' ') {
        return None;
    }
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'e' | b'E' => {
                let next = bytes.get(at + 1).filter(|next| next.is_ascii_digit() || b"+-".contains(next));
                let Some(next) = next else { break };
                at += usize::from(!next.is_ascii_digit());
                let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits > EXPONENT_DIGITS {
                    return None;
                }
            }
            b'0'..=b'9' | b'.' | b'+' | b'-' => {}
            _ => break,
        }
        at += 1;
    }
    (at > 0).then(|| text.split_at(at))
}
