//! Reads a date and time by a layout.

use super::calendar::{DAYS, Instant, Local, MONTHS, days_in, is_leap};
use super::input::{Input, abbreviation, integer, nanoseconds};
use super::layout::{self, Field, Width, ZoneForm};

/// The instant that `text` is by `layout`; in UTC, if it says nothing of a zone.
pub(super) fn parse(layout: &str, text: &str) -> Option<Instant> {
    let mut date = Date::default();
    let mut input = Input(text.as_bytes());
    let mut rest = layout;
    loop {
        let (prefix, field, suffix) = layout::next(rest);
        input.skip(prefix.as_bytes())?;
        let Some(field) = field else { break };
        rest = suffix;
        date.read(field, &mut input, rest)?;
    }
    if input.0.is_empty() { date.instant() } else { None }
}

/// What was read so far.
#[derive(Default)]
struct Date {
    year: i128,
    month: Option<i128>,
    day: Option<i128>,
    year_day: Option<i128>,
    hour: i128,
    minute: i128,
    second: i128,
    nanosecond: i128,
    is_pm: Option<bool>,
    /// Seconds ahead of UTC.
    offset: Option<i128>,
    /// Whether a `Z` or `UTC` says so, which counts before a number.
    is_utc: bool,
}

impl Date {
    /// Reads a field; `rest` is the layout behind it.
    fn read(&mut self, field: Field, input: &mut Input<'_>, rest: &str) -> Option<()> {
        match field {
            Field::Year => {
                let year = integer(input.take(2)?)?;
                self.year = if year >= 69 { year + 1900 } else { year + 2000 };
            }
            Field::LongYear => {
                let digits = input.take(4)?;
                self.year = if digits[0].is_ascii_digit() { integer(digits)? } else { return None };
            }
            Field::MonthName { long } => self.month = Some(input.name(&MONTHS, long)? + 1),
            Field::Month(width) => self.month = Some(input.number(width, 1..=12)?),
            Field::WeekdayName { long } => drop(input.name(&DAYS, long)?),
            Field::Day(width) => self.day = Some(input.number(width, 0..=99)?),
            Field::YearDay(width) => self.year_day = Some(input.year_day(width)?),
            Field::Hour => self.hour = input.number(Width::Short, 0..=23)?,
            Field::Hour12(width) => self.hour = input.number(width, 0..=12)?,
            Field::Minute(width) => self.minute = input.number(width, 0..=59)?,
            Field::Second(width) => {
                self.second = input.number(width, 0..=59)?;
                // A fraction may follow without a place in the layout.
                if input.begins_fraction() && !matches!(layout::next(rest).1, Some(Field::Fraction { .. })) {
                    self.nanosecond = input.fraction()?;
                }
            }
            Field::Noon { upper } => self.is_pm = Some(input.half(upper)?),
            Field::ZoneName => self.zone_name(input)?,
            Field::Zone(form) => self.zone(form, input)?,
            Field::Fraction { trimmed: true, .. } if !input.begins_fraction() => {}
            Field::Fraction { trimmed: true, .. } => self.nanosecond = input.fraction()?,
            Field::Fraction { digits, .. } => self.nanosecond = nanoseconds(input.take(1 + digits)?)?,
        }
        Some(())
    }

    fn zone(&mut self, form: ZoneForm, input: &mut Input<'_>) -> Option<()> {
        if form.z && input.0.first() == Some(&b'Z') {
            input.take(1)?;
            self.is_utc = true;
            return Some(());
        }
        let negative = match input.take(1)? {
            b"+" => false,
            b"-" => true,
            _ => return None,
        };
        let hours = input.number(Width::Zeros, 0..=24)?;
        let mut part = |wanted: bool| {
            if !wanted {
                return Some(0);
            }
            if form.colons && input.take(1)? != b":" {
                return None;
            }
            input.number(Width::Zeros, 0..=60)
        };
        let seconds = (hours * 60 + part(form.minutes)?) * 60 + part(form.seconds)?;
        self.offset = Some(if negative { -seconds } else { seconds });
        Some(())
    }

    /// An abbreviation says nothing of the offset; for Go not even `GMT+3` does.
    fn zone_name(&mut self, input: &mut Input<'_>) -> Option<()> {
        if input.0.starts_with(b"UTC") {
            input.take(3)?;
            self.is_utc = true;
            return Some(());
        }
        input.take(abbreviation(input.0)?).map(drop)
    }

    fn instant(&self) -> Option<Instant> {
        let (month, day) = self.month_and_day()?;
        if day < 1 || day > days_in(self.year, month) {
            return None;
        }
        let hour = match self.is_pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let seconds = (hour * 60 + self.minute) * 60 + self.second;
        // Go's mark for no offset is an offset of one second.
        let offset = self.offset.filter(|offset| *offset != -1 && !self.is_utc).unwrap_or(0);
        let time = (seconds - offset) * 1_000_000_000 + self.nanosecond;
        Some(Local { year: self.year, month, day, time }.utc())
    }

    /// By the day of the year, if there is one, which the others must agree with.
    fn month_and_day(&self) -> Option<(i128, i128)> {
        let Some(year_day) = self.year_day else { return Some((self.month.unwrap_or(1), self.day.unwrap_or(1))) };
        let (mut month, mut day) = (1, year_day);
        if !(1..=if is_leap(self.year) { 366 } else { 365 }).contains(&year_day) {
            return None;
        }
        while day > days_in(self.year, month) {
            day -= days_in(self.year, month);
            month += 1;
        }
        let agrees = self.month.is_none_or(|known| known == month) && self.day.is_none_or(|known| known == day);
        agrees.then_some((month, day))
    }
}
