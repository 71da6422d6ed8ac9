//! Dates in the Gregorian calendar, of any year.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Nanoseconds since 1970.
pub(super) type Instant = i128;

const NANOSECONDS: i128 = 1_000_000_000;

pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn is_leap(year: i128) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Of a month from 1 to 12.
pub(super) fn days_in(year: i128, month: i128) -> i128 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 until the first of a month. Months beyond a year are of the next ones.
fn first_of(year: i128, month: i128) -> i128 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let past = year - 1;
    let before = past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let within: i128 = (1..month).map(|month| days_in(year, month)).sum();
    before + within - 719_162
}

/// A local date and time, each field of which may be beyond its bounds.
pub(super) struct Local {
    pub(super) year: i128,
    pub(super) month: i128,
    pub(super) day: i128,
    /// Nanoseconds since midnight.
    pub(super) time: i128,
}

impl Local {
    /// The instant, if the local time is UTC.
    pub(super) fn utc(&self) -> Instant {
        (first_of(self.year, self.month) + self.day - 1) * 86_400 * NANOSECONDS + self.time
    }

    /// The instant in a time zone, of a time that comes twice or never the one that Go takes.
    fn within(&self, zone: &TimeZone) -> Option<Instant> {
        let utc = self.utc();
        let offset = |instant: Instant| {
            let timestamp = Timestamp::from_nanosecond(instant).ok()?;
            Some(i128::from(zone.to_offset(timestamp).seconds()) * NANOSECONDS)
        };
        match offset(utc)? {
            0 => Some(utc),
            guess => Some(utc - offset(utc - guess)?),
        }
    }
}

fn of(moment: &Zoned) -> Local {
    let time = moment.time();
    let seconds = i128::from(time.hour()) * 3600 + i128::from(time.minute()) * 60 + i128::from(time.second());
    Local {
        year: moment.year().into(),
        month: moment.month().into(),
        day: moment.day().into(),
        time: seconds * NANOSECONDS + i128::from(time.subsec_nanosecond()),
    }
}

pub(super) fn add(moment: &Zoned, years: i128, months: i128, days: i128) -> Option<Instant> {
    let local = of(moment);
    let moved = Local { year: local.year + years, month: local.month + months, day: local.day + days, ..local };
    moved.within(moment.time_zone())
}

/// Years, months, days, hours, minutes and seconds. What is missing in one is taken from the one before it.
pub(super) fn between(earlier: &Zoned, later: &Zoned) -> [i64; 6] {
    let fields = |moment: &Zoned| -> [i64; 6] {
        [
            moment.year().into(),
            moment.month().into(),
            moment.day().into(),
            moment.hour().into(),
            moment.minute().into(),
            moment.second().into(),
        ]
    };
    let (from, to) = (fields(earlier), fields(later));
    let days = days_in(from[0].into(), from[1].into());
    let sizes = [0, 12, i64::try_from(days).unwrap_or(31), 24, 60, 60];
    let mut parts: [i64; 6] = std::array::from_fn(|index| to[index] - from[index]);
    for index in (1..parts.len()).rev() {
        if parts[index] < 0 {
            parts[index] += sizes[index];
            parts[index - 1] -= 1;
        }
    }
    parts
}
