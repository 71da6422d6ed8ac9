//! Rego's `time.*`, as functions of their arguments alone: time zones come from the database that the gateway was
//! built with, so a decision does not depend on the machine that makes it.

mod calendar;
mod duration;
mod format;
mod input;
mod layout;
mod parse;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use self::calendar::{DAYS, Instant};
use super::registry::Family;
use super::{Answer, Context, Stop};
use crate::policy::rego::term::Term;

pub(super) const FAMILY: Family = &[
    ("time.add_date", add_date),
    ("time.clock", clock),
    ("time.date", date),
    ("time.diff", diff),
    ("time.format", format),
    ("time.now_ns", now_ns),
    ("time.parse_duration_ns", parse_duration_ns),
    ("time.parse_ns", parse_ns),
    ("time.parse_rfc3339_ns", parse_rfc3339_ns),
    ("time.weekday", weekday),
];

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// How many years, months or days may be added.
const MOST_ADDED: u64 = 1_000_000_000;

/// The decision's own instant. No other builtin brings in the time.
#[expect(clippy::unnecessary_wraps, reason = "all builtins have one signature")]
fn now_ns(context: &mut Context, _: &[Term]) -> Answer {
    context.asked_time = true;
    Ok(context.now.as_nanosecond().into())
}

/// Nanoseconds since 1970 of a text by a layout.
fn parse_ns(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(layout), Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    instant(parse::parse(layout::named(layout), text))
}

fn parse_rfc3339_ns(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    instant(parse::parse(layout::RFC3339, text))
}

fn parse_duration_ns(_: &mut Context, arguments: &[Term]) -> Answer {
    let [Term::String(text)] = arguments else { return Err(Stop::Undefined) };
    duration::parse(text).map(|nanoseconds| i128::from(nanoseconds).into()).ok_or(Stop::Undefined)
}

/// `[year, month, day]`.
fn date(_: &mut Context, arguments: &[Term]) -> Answer {
    let date = one(arguments)?.date();
    Ok(numbers(&[date.year().into(), date.month().into(), date.day().into()]))
}

/// `[hour, minute, second]`.
fn clock(_: &mut Context, arguments: &[Term]) -> Answer {
    let time = one(arguments)?.time();
    Ok(numbers(&[time.hour().into(), time.minute().into(), time.second().into()]))
}

/// `Monday` and so on.
fn weekday(_: &mut Context, arguments: &[Term]) -> Answer {
    let weekday = one(arguments)?.weekday().to_sunday_zero_offset();
    let name = usize::try_from(weekday).ok().and_then(|weekday| DAYS.get(weekday));
    name.map(|name| Term::from(*name)).ok_or(Stop::Undefined)
}

fn format(context: &mut Context, arguments: &[Term]) -> Answer {
    let [moment] = arguments else { return Err(Stop::Undefined) };
    let layout = match moment {
        Term::Array(parts) => match parts.get(2) {
            Some(Term::String(layout)) => layout,
            None => "",
            Some(_) => return Err(Stop::Undefined),
        },
        _ => "",
    };
    let layout = if layout.is_empty() { layout::RFC3339_NANO } else { layout::named(layout) };
    format::format(&local(moment)?, layout, context)
}

/// Later, or earlier, by the calendar.
fn add_date(_: &mut Context, arguments: &[Term]) -> Answer {
    let [moment, years, months, days] = arguments else { return Err(Stop::Undefined) };
    let moment = local(moment)?;
    let whole = |term: &Term| match term.as_integer() {
        // Go's integers wrap somewhere beyond, and it gives a date that is none.
        Some(count) if count.unsigned_abs() > MOST_ADDED => Err(Stop::unsupported("time.add_date of so much")),
        count => count.map(i128::from).ok_or(Stop::Undefined),
    };
    instant(calendar::add(&moment, whole(years)?, whole(months)?, whole(days)?))
}

/// `[years, months, days, hours, minutes, seconds]` between two moments, by the calendar of the first one's zone.
fn diff(_: &mut Context, arguments: &[Term]) -> Answer {
    let [first, second] = arguments else { return Err(Stop::Undefined) };
    let first = local(first)?;
    let second = local(second)?.with_time_zone(first.time_zone().clone());
    let (earlier, later) = if first > second { (&second, &first) } else { (&first, &second) };
    Ok(numbers(&calendar::between(earlier, later)))
}

fn one(arguments: &[Term]) -> Result<Zoned, Stop> {
    let [moment] = arguments else { return Err(Stop::Undefined) };
    local(moment)
}

/// A moment is a number of nanoseconds since 1970, in UTC, or `[nanoseconds, time zone]`.
fn local(moment: &Term) -> Result<Zoned, Stop> {
    let (nanoseconds, zone) = match moment {
        Term::Array(parts) => match parts.as_slice() {
            [nanoseconds] => (nanoseconds, TimeZone::UTC),
            // A layout may follow.
            [nanoseconds, Term::String(name)] | [nanoseconds, Term::String(name), Term::String(_), ..] => {
                (nanoseconds, zone(name)?)
            }
            _ => return Err(Stop::Undefined),
        },
        number => (number, TimeZone::UTC),
    };
    let nanoseconds = nanoseconds.as_i64().ok_or(Stop::Undefined)?;
    let timestamp = Timestamp::from_nanosecond(nanoseconds.into()).map_err(|_| Stop::Undefined)?;
    Ok(timestamp.to_zoned(zone))
}

/// A time zone by its exact name. `Local`, which Go knows too, would depend on the machine.
fn zone(name: &str) -> Result<TimeZone, Stop> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Err(Stop::unsupported("the time zone Local")),
        _ => {
            let zone = ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name));
            zone.ok_or(Stop::Undefined)
        }
    }
}

/// An instant that an `i64` of nanoseconds has room for.
fn instant(instant: Option<Instant>) -> Answer {
    let nanoseconds = instant.and_then(|instant| i64::try_from(instant).ok());
    nanoseconds.map(|nanoseconds| i128::from(nanoseconds).into()).ok_or(Stop::Undefined)
}

fn numbers(values: &[i64]) -> Term {
    Term::Array(values.iter().map(|value| i128::from(*value).into()).collect())
}
