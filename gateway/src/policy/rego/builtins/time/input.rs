//! The parts of a date in a text.

use super::layout::Width;

/// What is left to read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn blanks(&mut self) {
        self.0 = self.0.trim_ascii_blanks();
    }

    /// Passes over the layout's own text, in which blanks stand for any number of them.
    pub(super) fn skip(&mut self, mut prefix: &[u8]) -> Option<()> {
        while let Some(first) = prefix.first() {
            if *first != b' ' {
                (self.take(1)?[0] == *first).then_some(())?;
                prefix = &prefix[1..];
                continue;
            }
            if self.0.first().is_some_and(|next| *next != b' ') {
                return None;
            }
            prefix = prefix.trim_ascii_blanks();
            self.blanks();
        }
        Some(())
    }

    /// A number of one or two digits, or of two alone; for blanks in front there is room for one.
    pub(super) fn number(&mut self, width: Width, range: std::ops::RangeInclusive<i128>) -> Option<i128> {
        if width == Width::Blanks && self.0.first() == Some(&b' ') {
            self.take(1)?;
        }
        let digits = self.digits(2);
        if digits == 0 || width == Width::Zeros && digits < 2 {
            return None;
        }
        integer(self.take(digits)?).filter(|number| range.contains(number))
    }

    pub(super) fn year_day(&mut self, width: Width) -> Option<i128> {
        for _ in 0..2 {
            if width == Width::Blanks && self.0.first() == Some(&b' ') {
                self.take(1)?;
            }
        }
        let digits = self.digits(3);
        if digits == 0 || width == Width::Zeros && digits < 3 {
            return None;
        }
        integer(self.take(digits)?)
    }

    pub(super) fn digits(&self, most: usize) -> usize {
        self.0.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// The place of a name in its list, in any case.
    pub(super) fn name(&mut self, names: &[&str], long: bool) -> Option<i128> {
        let written = |name: &str| if long { name.len() } else { 3 };
        let found = names.iter().position(|name| {
            let name = &name.as_bytes()[..written(name)];
            self.0.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name))
        })?;
        self.take(written(names[found]))?;
        i128::try_from(found).ok()
    }

    pub(super) fn half(&mut self, upper: bool) -> Option<bool> {
        match (self.take(2)?, upper) {
            (b"PM", true) | (b"pm", false) => Some(true),
            (b"AM", true) | (b"am", false) => Some(false),
            _ => None,
        }
    }

    pub(super) fn begins_fraction(&self) -> bool {
        matches!(self.0, [b'.' | b',', digit, ..] if digit.is_ascii_digit())
    }

    pub(super) fn fraction(&mut self) -> Option<i128> {
        let digits = self.0[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        nanoseconds(self.take(1 + digits)?)
    }
}

trait Blanks {
    fn trim_ascii_blanks(&self) -> &Self;
}

impl Blanks for [u8] {
    fn trim_ascii_blanks(&self) -> &Self {
        let blanks = self.iter().take_while(|byte| **byte == b' ').count();
        &self[blanks..]
    }
}

/// A separator and digits, of which nine count.
pub(super) fn nanoseconds(text: &[u8]) -> Option<i128> {
    let [b'.' | b',', digits @ ..] = text else { return None };
    let digits = &digits[..digits.len().min(9)];
    let missing = u32::try_from(9 - digits.len()).ok()?;
    integer(digits).filter(|number| *number >= 0).map(|number| number * 10_i128.pow(missing))
}

/// Digits with a sign or without; none are zero.
pub(super) fn integer(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0, |size, digit| size * 10 + i128::from(digit - b'0'));
    Some(if text.starts_with(b"-") { -size } else { size })
}

/// The length of what looks like the name of a time zone.
pub(super) fn abbreviation(text: &[u8]) -> Option<usize> {
    let first = text.get(..3)?;
    if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        return Some(4);
    }
    if first == b"GMT" {
        return Some(3 + signed_hours(&text[3..]).unwrap_or(0));
    }
    if matches!(first[0], b'+' | b'-') {
        return signed_hours(text);
    }
    let capitals = text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
    match capitals {
        3 => Some(3),
        4 if text[3] == b'T' || text.starts_with(b"WITA") => Some(4),
        5 if text[4] == b'T' => Some(5),
        _ => None,
    }
}

/// The length of a sign and digits up to 23.
fn signed_hours(text: &[u8]) -> Option<usize> {
    let [b'+' | b'-', digits @ ..] = text else { return None };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let significant = digits[..count].iter().skip_while(|digit| **digit == b'0').count();
    let fits = count > 0 && significant <= 2 && integer(&digits[..count])? <= 23;
    fits.then_some(1 + count)
}
