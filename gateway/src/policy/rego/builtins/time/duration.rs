//! Durations as Go writes them, `1h30m`, also with days, weeks and years of 24, 168 and 8,760 hours.

/// Nanoseconds.
pub(super) fn parse(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    if unsigned == "0" {
        return Some(0);
    }
    let extended = text.contains(['d', 'w', 'y']);
    let mut total = 0_u64;
    let mut rest = unsigned;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|next: char| next.is_ascii_digit() || next == '.').len();
        let (number, tail) = rest.split_at(digits);
        let unit = if extended {
            short_unit(tail)?
        } else {
            tail.split(['.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).next()?
        };
        rest = &tail[unit.len()..];
        total = total.checked_add(segment(number, unit)?).filter(|total| *total <= 1 << 63)?;
    }
    if negative { Some(0_i64.wrapping_sub_unsigned(total)) } else { i64::try_from(total).ok() }
}

/// In texts with days and the like, a unit is one letter or a smaller one than a second.
fn short_unit(text: &str) -> Option<&str> {
    let small = ["ms", "us", "µs", "ns"].into_iter().find(|unit| text.starts_with(unit));
    small.or_else(|| text.get(..1).filter(|letter| letter.bytes().all(|byte| byte.is_ascii_lowercase())))
}

fn segment(number: &str, unit: &str) -> Option<u64> {
    let hours = match unit {
        "d" => 24.0,
        "w" => 168.0,
        "y" => 8_760.0,
        _ => return times(number, nanoseconds(unit)?),
    };
    let value: f64 = number.parse().ok().filter(|value: &f64| value.is_finite())?;
    times(&(value * hours).to_string(), nanoseconds("h")?)
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as Go does")]
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let mut value = whole.checked_mul(unit).filter(|value| *value <= 1 << 63)?;
    // As many digits as an i64 has room for.
    let (mut part, mut scale) = (0_u64, 1.0_f64);
    for digit in fraction.bytes() {
        if part > ((1 << 63) - 1) / 10 {
            break;
        }
        part = part * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    value = value.checked_add((part as f64 * (unit as f64 / scale)) as u64)?;
    (value <= 1 << 63).then_some(value)
}
