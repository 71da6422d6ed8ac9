//! Floats, as Go writes them by `%e`, `%f`, `%g`, `%x` and `%b`.

use super::spec::Spec;

/// No float has more digits than this, on either side of its point. Further ones are zeros, which the standard library,
/// whose precision is 16 bits wide, need not write.
const FLOAT_DIGITS: usize = 1_100;

/// What Go takes for the precision, in this, where the digits are the shortest.
const SHORTEST: i64 = 6;

/// The bits of a float behind its point.
const FRACTION_BITS: i32 = 52;

/// `value` by `verb`, with the sign and the width that `spec` asks for.
pub(super) fn float(value: f64, verb: char, spec: &Spec) -> String {
    let size = value.abs();
    let precision = spec.precision.unwrap_or(6);
    let written = precision.min(FLOAT_DIGITS);
    let zeros = || "0".repeat(precision - written);
    let digits = match verb.to_ascii_lowercase() {
        'b' => binary(size),
        'x' => hexadecimal(size, spec.precision),
        'e' => exponent(&format!("{size:.written$e}").replacen('e', &format!("{}e", zeros()), 1)),
        'f' => format!("{size:.written$}{}", zeros()),
        _ => general(size, spec.precision.map(|precision| precision.min(FLOAT_DIGITS))),
    };
    let digits = if verb.is_ascii_uppercase() { digits.to_ascii_uppercase() } else { digits };
    let digits = if spec.sharp && verb != 'b' { pointed(&digits, verb, spec.precision) } else { digits };
    spec.pad_number(spec.sign(value.is_sign_negative()), &digits)
}

/// With a point in any case, and for `%g` and `%x` with the zeros that the precision asks for.
fn pointed(digits: &str, verb: char, precision: Option<usize>) -> String {
    let end = digits.find(['p', 'P']).or_else(|| digits.find(['e', 'E']).filter(|_| !matches!(verb, 'x' | 'X')));
    let (number, tail) = digits.split_at(end.unwrap_or(digits.len()));
    let wanted = if matches!(verb, 'g' | 'G' | 'x') { precision.unwrap_or(6) } else { 0 };
    let significant = number.trim_start_matches(['0', '.']).chars().filter(|digit| *digit != '.').count();
    let counted = if number == "0" { 1 } else { significant };
    let point = if number.contains('.') { "" } else { "." };
    format!("{number}{point}{}{tail}", "0".repeat(wanted.saturating_sub(counted)))
}

/// The bits behind the point, with the one in front of it, and the power of two of the last.
fn parts(size: f64) -> (u64, i32) {
    let bits = size.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    match i32::try_from(bits >> FRACTION_BITS).unwrap_or(0) {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << FRACTION_BITS, exponent - 1075),
    }
}

/// A whole number times a power of two.
fn binary(size: f64) -> String {
    let (mantissa, exponent) = parts(size);
    format!("{mantissa}p{exponent:+}")
}

/// One hexadecimal digit, 1 or 0, a fraction, and a power of two.
fn hexadecimal(size: f64, precision: Option<usize>) -> String {
    let (mantissa, exponent) = parts(size);
    let zeros = i32::try_from(mantissa.leading_zeros()).unwrap_or(0) - 11;
    let (mut mantissa, mut exponent) =
        if mantissa == 0 { (0, 0) } else { (mantissa << zeros, exponent + FRACTION_BITS - zeros) };
    if let Some(kept) = precision.filter(|precision| *precision < 13) {
        let dropped = FRACTION_BITS - 4 * i32::try_from(kept).unwrap_or(0);
        let (half, rest) = (1_u64 << (dropped - 1), mantissa & ((1 << dropped) - 1));
        mantissa >>= dropped;
        // To the nearest, of two to the even one.
        mantissa += u64::from(rest > half || rest == half && mantissa & 1 == 1);
        mantissa <<= dropped;
        if mantissa >> (FRACTION_BITS + 1) != 0 {
            (mantissa, exponent) = (mantissa >> 1, exponent + 1);
        }
    }
    let whole = mantissa >> FRACTION_BITS;
    let fraction = format!("{:013x}", mantissa & ((1 << FRACTION_BITS) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{}{}", &fraction[..precision.min(13)], "0".repeat(precision.saturating_sub(13))),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{whole}{point}{fraction}p{sign}{:02}", exponent.abs())
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
