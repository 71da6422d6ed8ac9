//! Ranges of numbers.

use super::answer::Items;
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[("numbers.range_step", range_step)];

/// From one number towards another, both whole.
fn range_step(context: &mut Context, arguments: &[Term]) -> Answer {
    let [from, to, step] = arguments else { return Err(Stop::Undefined) };
    let (from, to, step) = (whole(from)?, whole(to)?, whole(step)?);
    if step <= 0 {
        return Err(Stop::Undefined);
    }
    let mut range = Items::new(context);
    let mut next = Some(from);
    while let Some(number) = next.filter(|number| if from <= to { *number <= to } else { *number >= to }) {
        let bytes = usize::try_from(number.unsigned_abs().checked_ilog10().unwrap_or(0)).unwrap_or(0) + 3;
        range.add(number.into(), bytes)?;
        next = if from <= to { number.checked_add(step) } else { number.checked_sub(step) };
    }
    Ok(range.array())
}

/// A whole number; one with an exponent too.
fn whole(number: &Term) -> Result<i128, Stop> {
    let Term::Number(number) = number else { return Err(Stop::Undefined) };
    let (mantissa, exponent) = number.text().split_once(['e', 'E']).unwrap_or((number.text(), "0"));
    let (digits, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let shift =
        exponent.parse::<i64>().ok().and_then(|exponent| exponent.checked_sub(i64::try_from(fraction.len()).ok()?));
    let all = format!("{digits}{fraction}");
    let significant = all.trim_end_matches('0');
    if significant.trim_start_matches('-').is_empty() {
        return Ok(0);
    }
    let zeros = i64::try_from(all.len() - significant.len()).unwrap_or(i64::MAX);
    let shift = shift.and_then(|shift| shift.checked_add(zeros)).ok_or(Stop::Undefined)?;
    let power = u32::try_from(shift).map_err(|_| Stop::Undefined)?;
    let large = || Stop::unsupported("numbers.range_step with numbers of more than 127 bits");
    let value: i128 = significant.parse().map_err(|_| large())?;
    10_i128.checked_pow(power).and_then(|power| value.checked_mul(power)).ok_or_else(large)
}
