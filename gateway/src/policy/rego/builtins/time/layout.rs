//! Go's layouts: a text in which parts of `Mon Jan 2 15:04:05 MST 2006` stand for a date's.

pub(super) const RFC3339: &str = "2006-01-02T15:04:05Z07:00";
pub(super) const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

/// The layout that a name stands for; any other text is one itself.
pub(super) fn named(name: &str) -> &str {
    match name {
        "ANSIC" => "Mon Jan _2 15:04:05 2006",
        "UnixDate" => "Mon Jan _2 15:04:05 MST 2006",
        "RubyDate" => "Mon Jan 02 15:04:05 -0700 2006",
        "RFC822" => "02 Jan 06 15:04 MST",
        "RFC822Z" => "02 Jan 06 15:04 -0700",
        "RFC850" => "Monday, 02-Jan-06 15:04:05 MST",
        "RFC1123" => "Mon, 02 Jan 2006 15:04:05 MST",
        "RFC1123Z" => "Mon, 02 Jan 2006 15:04:05 -0700",
        "RFC3339" => RFC3339,
        "RFC3339Nano" => RFC3339_NANO,
        layout => layout,
    }
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Without zeros in front.
    Short,
    /// With blanks in front.
    Blanks,
    /// With zeros in front.
    Zeros,
}

/// What stands for a part of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Year,
    LongYear,
    MonthName { long: bool },
    Month(Width),
    WeekdayName { long: bool },
    Day(Width),
    YearDay(Width),
    Hour,
    Hour12(Width),
    Minute(Width),
    Second(Width),
    Noon { upper: bool },
    ZoneName,
    Zone(ZoneForm),
    Fraction { digits: usize, trimmed: bool, separator: u8 },
}

/// How the offset from UTC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is there or not in a layout")]
pub(super) struct ZoneForm {
    /// `Z` for UTC.
    pub(super) z: bool,
    pub(super) colons: bool,
    pub(super) minutes: bool,
    pub(super) seconds: bool,
}

use Width::{Blanks, Short, Zeros};

/// By their texts: the longer one first where one begins with another.
const FIELDS: &[(&str, Field)] = &[
    ("January", Field::MonthName { long: true }),
    ("Jan", Field::MonthName { long: false }),
    ("Monday", Field::WeekdayName { long: true }),
    ("Mon", Field::WeekdayName { long: false }),
    ("MST", Field::ZoneName),
    ("01", Field::Month(Zeros)),
    ("02", Field::Day(Zeros)),
    ("03", Field::Hour12(Zeros)),
    ("04", Field::Minute(Zeros)),
    ("05", Field::Second(Zeros)),
    ("06", Field::Year),
    ("002", Field::YearDay(Zeros)),
    ("15", Field::Hour),
    ("1", Field::Month(Short)),
    ("2006", Field::LongYear),
    ("2", Field::Day(Short)),
    ("__2", Field::YearDay(Blanks)),
    ("_2", Field::Day(Blanks)),
    ("3", Field::Hour12(Short)),
    ("4", Field::Minute(Short)),
    ("5", Field::Second(Short)),
    ("PM", Field::Noon { upper: true }),
    ("pm", Field::Noon { upper: false }),
    ("070000", zone(false, true, true)),
    ("07:00:00", zone(true, true, true)),
    ("0700", zone(false, true, false)),
    ("07:00", zone(true, true, false)),
    ("07", zone(false, false, false)),
];

const fn zone(colons: bool, minutes: bool, seconds: bool) -> Field {
    Field::Zone(ZoneForm { z: false, colons, minutes, seconds })
}

/// What stands before the next field, the field, and what follows it.
pub(super) fn next(layout: &str) -> (&str, Option<Field>, &str) {
    for (at, character) in layout.char_indices() {
        let rest = &layout[at..];
        // The year's underscore is its own.
        if let Some(suffix) = rest.strip_prefix("_2006") {
            return (&layout[..=at], Some(Field::LongYear), suffix);
        }
        let found = match character {
            '-' => zone_field(&rest[1..], false),
            'Z' => zone_field(&rest[1..], true),
            '.' | ',' => fraction(rest),
            _ => field(rest).filter(|(field, _)| !matches!(field, Field::Zone(_))),
        };
        if let Some((field, length)) = found {
            return (&layout[..at], Some(field), &rest[length..]);
        }
    }
    (layout, None, "")
}

/// An offset, of which the sign or the `Z` was read.
fn zone_field(text: &str, z: bool) -> Option<(Field, usize)> {
    match field(text)? {
        (Field::Zone(form), length) => Some((Field::Zone(ZoneForm { z, ..form }), length + 1)),
        _ => None,
    }
}

fn field(text: &str) -> Option<(Field, usize)> {
    let found = FIELDS.iter().find(|(name, field)| {
        let is_short = matches!(field, Field::MonthName { long: false } | Field::WeekdayName { long: false });
        let rest = text.strip_prefix(name);
        // `Month` and `Janet` are words.
        rest.is_some_and(|rest| !is_short || !rest.starts_with(|next: char| next.is_ascii_lowercase()))
    });
    found.map(|(name, field)| (*field, name.len()))
}

/// `.000` or `,999`, if no other digit follows.
fn fraction(text: &str) -> Option<(Field, usize)> {
    let digit = *text.as_bytes().get(1).filter(|digit| matches!(digit, b'0' | b'9'))?;
    let digits = text.bytes().skip(1).take_while(|byte| *byte == digit).count();
    let ends = !text.as_bytes().get(1 + digits).is_some_and(u8::is_ascii_digit);
    let field = Field::Fraction { digits, trimmed: digit == b'9', separator: text.as_bytes()[0] };
    ends.then_some((field, 1 + digits))
}
