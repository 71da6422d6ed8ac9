//! Floats, as Go writes them by `%e`, `%f` and `%g`.

use super::Spec;

/// No float has more digits than this, on either side of its point. Further ones are zeros, which the standard library,
/// whose precision is 16 bits wide, need not write.
const FLOAT_DIGITS: usize = 1_100;

/// What Go takes for the precision, in this, where the digits are the shortest.
const SHORTEST: i64 = 6;

/// `value` by `verb`, with the sign and the width that `spec` asks for.
pub(super) fn float(value: f64, verb: char, spec: &Spec) -> String {
    let size = value.abs();
    let precision = spec.precision.unwrap_or(6);
    let written = precision.min(FLOAT_DIGITS);
    let zeros = || "0".repeat(precision - written);
    let digits = match verb.to_ascii_lowercase() {
        'e' => exponent(&format!("{size:.written$e}").replacen('e', &format!("{}e", zeros()), 1)),
        'f' => format!("{size:.written$}{}", zeros()),
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

/// An exponent as Go writes it: with a sign and two digits at least.
fn exponent(scientific: &str) -> String {
    let (mantissa, power) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs())
}
