//! Decimal numbers without bounds, multiplied exactly or as Go's floats are.

use num_bigint::BigUint;

use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

/// Numbers may have so many digits before they are multiplied, and after.
const MOST_DIGITS: usize = 10_000;

/// How many places after the point a result has that is not whole.
const PLACES: u32 = 10;

/// What is divided by ten to this, beyond its digits, is nothing at ten places, whatever the unit.
const NEGLIGIBLE: usize = 40;

/// The bits of the floats by which OPA counts bytes.
const MANTISSA_BITS: u64 = 64;

/// `digits` times ten to the `exponent`.
pub(super) struct Decimal {
    negative: bool,
    digits: BigUint,
    exponent: i64,
    length: usize,
}

impl Decimal {
    /// Digits with a sign, a point and an exponent, or without.
    pub(super) fn read(text: &str) -> Result<Self, Stop> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        if digits.len() > MOST_DIGITS {
            return Err(Self::too_long());
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Stop::Undefined);
        }
        let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let exponent: i64 = exponent.parse().map_err(|_| Stop::Undefined)?;
        let length = digits.len();
        let digits = digits.parse().map_err(|_| Stop::Undefined)?;
        Ok(Self { negative: mantissa.starts_with('-'), digits, exponent: exponent - places, length })
    }

    fn too_long() -> Stop {
        Stop::unsupported(format!("units of numbers with more than {MOST_DIGITS} digits"))
    }

    /// Times `factor`, divided by two to the `halvings`, and rounded where it is not whole.
    pub(super) fn scaled(&self, context: &Context, factor: u64, halvings: u32) -> Answer {
        let (numerator, denominator) = self.fraction(context)?;
        let numerator = numerator * factor;
        let denominator = denominator << halvings;
        let whole = &numerator / &denominator;
        if &whole * &denominator == numerator {
            return self.term(&whole.to_string());
        }
        let scale = BigUint::from(10_u8).pow(PLACES);
        let doubled = numerator * &scale * 2_u8 + &denominator;
        let rounded = doubled / (denominator * 2_u8);
        self.term(&format!("{}.{:010}", &rounded / &scale, &rounded % &scale))
    }

    /// Times `factor`, by floats, and rounded towards zero.
    pub(super) fn whole(&self, context: &Context, factor: u64) -> Answer {
        let (numerator, denominator) = self.fraction(context)?;
        let (mantissa, exponent) = rounded(&numerator, &denominator);
        let (mantissa, more) = rounded(&(mantissa * factor), &BigUint::from(1_u8));
        let exponent = exponent + more;
        let places = exponent.unsigned_abs();
        let whole = if exponent < 0 { mantissa >> places } else { mantissa << places };
        self.term(&whole.to_string())
    }

    /// What it is divided by what. A number that is next to nothing is divided by less than it should be, which no result
    /// shows.
    fn fraction(&self, context: &Context) -> Result<(BigUint, BigUint), Stop> {
        let (one, ten) = (BigUint::from(1_u8), BigUint::from(10_u8));
        if self.digits == BigUint::ZERO {
            return Ok((BigUint::ZERO, one));
        }
        let power = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
        if self.exponent < 0 {
            let power = u32::try_from(power.min(self.length + NEGLIGIBLE)).unwrap_or(u32::MAX);
            return Ok((self.digits.clone(), ten.pow(power)));
        }
        let digits = self.length.saturating_add(power);
        context.within(digits)?;
        if digits > MOST_DIGITS {
            return Err(Self::too_long());
        }
        Ok((&self.digits * ten.pow(u32::try_from(power).unwrap_or(u32::MAX)), one))
    }

    fn term(&self, size: &str) -> Answer {
        let sign = if self.negative && size != "0" { "-" } else { "" };
        Term::number(&format!("{sign}{size}")).ok_or(Stop::Undefined)
    }
}

/// The nearest number of 64 bits times a power of two; of two, the even one.
fn rounded(numerator: &BigUint, denominator: &BigUint) -> (BigUint, i64) {
    if *numerator == BigUint::ZERO {
        return (BigUint::ZERO, 0);
    }
    // Two bits more than are kept, at least.
    let bits = |number: &BigUint| i64::try_from(number.bits()).unwrap_or(i64::MAX);
    let shift = bits(denominator) - bits(numerator) + i64::try_from(MANTISSA_BITS).unwrap_or(0) + 2;
    let places = shift.unsigned_abs();
    let scaled = if shift >= 0 { numerator << places } else { numerator.clone() };
    let divisor = if shift >= 0 { denominator.clone() } else { denominator << places };
    let quotient = &scaled / &divisor;
    let exact = &quotient * &divisor == scaled;
    let surplus = quotient.bits().saturating_sub(MANTISSA_BITS);
    let kept = &quotient >> surplus;
    let rest = &quotient - (&kept << surplus);
    let half = BigUint::from(1_u8) << surplus.saturating_sub(1);
    let up = rest > half || (rest == half && (!exact || kept.bit(0)));
    let kept = if up && surplus > 0 { kept + 1_u8 } else { kept };
    (kept, i64::try_from(surplus).unwrap_or(0) - shift)
}
