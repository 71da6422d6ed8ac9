//! Numbers of any size, compared by their digits.

use std::cmp::Ordering;
use std::ops::Range;

/// A number's sign, its digits without zeros at either end, and where its point is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Where its significant digits are in its text, maybe with the point among them; empty for zero.
    digits: Range<usize>,
    /// The power of ten of its first significant digit.
    power: i128,
}

impl Decimal {
    /// Of a text that is a JSON number. Powers of ten beyond 126 bits count as the same.
    pub(super) fn of(text: &str) -> Self {
        let end = text.find(['e', 'E']).unwrap_or(text.len());
        let mantissa = &text[..end];
        let point = mantissa.find('.').unwrap_or(end);
        let is_significant = |byte: u8| matches!(byte, b'1'..=b'9');
        let first = mantissa.bytes().position(is_significant);
        let last = mantissa.bytes().rposition(is_significant);
        let (Some(first), Some(last)) = (first, last) else {
            return Self { negative: false, digits: 0..0, power: 0 };
        };
        let place = |at: usize| i128::try_from(at).unwrap_or(i128::MAX);
        let before_point = if first < point { place(point) - 1 - place(first) } else { place(point) - place(first) };
        let power = exponent(text.get(end + 1..).unwrap_or("0")) + before_point;
        Self { negative: text.starts_with('-'), digits: first..last + 1, power }
    }

    /// Compares two numbers, each with the text that it is of.
    pub(super) fn order(&self, text: &str, other: &Self, other_text: &str) -> Ordering {
        let (sign, other_sign) = (self.sign(), other.sign());
        if sign != other_sign || sign == 0 {
            return sign.cmp(&other_sign);
        }
        let size = self.power.cmp(&other.power).then_with(|| {
            let (digits, other_digits) = (&text[self.digits.clone()], &other_text[other.digits.clone()]);
            // Without zeros at its end, the longer of two that begin alike is the greater.
            if digits == other_digits { Ordering::Equal } else { bare(digits).cmp(bare(other_digits)) }
        });
        if self.negative { size.reverse() } else { size }
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (_, true) => -1,
            _ => 1,
        }
    }
}

fn bare(digits: &str) -> impl Iterator<Item = u8> {
    digits.bytes().filter(|byte| *byte != b'.')
}

/// An exponent, or the greatest on its side of zero.
fn exponent(text: &str) -> i128 {
    const MOST: i128 = i128::MAX / 4;
    let most = if text.starts_with('-') { -MOST } else { MOST };
    text.parse::<i128>().map_or(most, |exponent| exponent.clamp(-MOST, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(a: &str, b: &str) -> Ordering {
        Decimal::of(a).order(a, &Decimal::of(b), b)
    }

    #[test]
    fn numbers_are_compared_exactly() {
        let tens = "1".repeat(400);
        for (less, greater) in [
            ("1e400", "2e400"),
            ("1e400", "1e401"),
            ("-2e400", "-1e400"),
            ("-1e400", "1e-400"),
            ("1e-401", "1e-400"),
            ("0", "1e-400"),
            ("-1e-400", "0e9"),
            ("0.1", "0.10000000000000000001"),
            ("9007199254740992", "9007199254740993.0"),
            ("100000000000000000000000000000000000000001", "100000000000000000000000000000000000000002"),
            ("1e99999999999999999999", "2e99999999999999999999"),
            (&format!("{tens}1"), &format!("{tens}2")),
        ] {
            assert_eq!(order(less, greater), Ordering::Less, "{less} {greater}");
            assert_eq!(order(greater, less), Ordering::Greater, "{greater} {less}");
        }
    }

    #[test]
    fn however_a_number_is_written_it_is_the_same() {
        for same in [
            &["1", "1.0", "10e-1", "0.1E+1", "0.0001e4", "1000e-3"][..],
            &["0", "-0", "0.00", "0e9", "-0.0e-9"],
            &["-120.5", "-1205e-1", "-1.205e2", "-0.1205e+3", "-120.500"],
            &["1e400", "10e399", "0.001e403", "1.000e0400"],
        ] {
            for other in same {
                assert_eq!(order(same[0], other), Ordering::Equal, "{other}");
            }
        }
    }
}
