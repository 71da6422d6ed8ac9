//! Rego's `time.*`, as functions of their arguments alone: time zones come from the database that the gateway was
//! built with, so a decision does not depend on the machine that makes it.

use std::sync::LazyLock;

use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

use super::term::Term;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Nanoseconds since 1970 of a date and time by RFC 3339, section 5.6, with a capital T and Z.
pub(super) fn parse_rfc3339_ns(text: &str) -> Option<Term> {
    let (local, offset) = strict(text)?;
    let nanoseconds = format!("{local}Z").parse::<Timestamp>().ok()?.as_nanosecond();
    let nanoseconds = nanoseconds - i128::from(offset) * 1_000_000_000;
    i64::try_from(nanoseconds).ok().map(|nanoseconds| i128::from(nanoseconds).into())
}

/// The local date and time and the seconds that it is ahead of UTC, if the text has the form that Go's `time.RFC3339`
/// takes; fractions beyond nanoseconds are cut off.
fn strict(text: &str) -> Option<(String, i32)> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let (head, tail) = text.split_at_checked(FORM.len())?;
    let fits = |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
    // jiff takes a leap second for the one before it, Go takes none.
    if !head.bytes().zip(FORM).all(fits) || head.ends_with("60") {
        return None;
    }
    let fraction = match tail.strip_prefix('.') {
        Some(rest) => &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()],
        None => "",
    };
    let zone = if tail.starts_with('.') { &tail[1 + fraction.len()..] } else { tail };
    if tail.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(9)];
    let point = if fraction.is_empty() { "" } else { "." };
    Some((format!("{head}{point}{fraction}"), offset(zone)?))
}

/// `Z`, or hours and minutes within Go's bounds, in seconds.
fn offset(zone: &str) -> Option<i32> {
    if zone == "Z" {
        return Some(0);
    }
    let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = zone.as_bytes() else { return None };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| i32::from(byte - b'0'));
    let (hours, minutes) = (digit(h1)? * 10 + digit(h2)?, digit(m1)? * 10 + digit(m2)?);
    let seconds = hours * 3600 + minutes * 60;
    (hours <= 24 && minutes <= 60).then_some(if *sign == b'-' { -seconds } else { seconds })
}

/// `[year, month, day]`.
pub(super) fn date(moment: &Term) -> Option<Term> {
    let date = local(moment)?.date();
    Some(numbers([date.year(), date.month().into(), date.day().into()]))
}

/// `[hour, minute, second]`.
pub(super) fn clock(moment: &Term) -> Option<Term> {
    let time = local(moment)?.time();
    Some(numbers([time.hour().into(), time.minute().into(), time.second().into()]))
}

/// `Monday` and so on.
pub(super) fn weekday(moment: &Term) -> Option<Term> {
    let name = match local(moment)?.weekday() {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    };
    Some(Term::String(name.to_owned()))
}

/// A moment is a number of nanoseconds since 1970, in UTC, or `[nanoseconds, time zone]`.
fn local(moment: &Term) -> Option<Zoned> {
    let (nanoseconds, zone) = match moment {
        Term::Array(parts) => match parts.as_slice() {
            [nanoseconds] => (nanoseconds, TimeZone::UTC),
            [nanoseconds, Term::String(name), ..] => (nanoseconds, zone(name)?),
            _ => return None,
        },
        number => (number, TimeZone::UTC),
    };
    let timestamp = Timestamp::from_nanosecond(nanoseconds.as_i64()?.into()).ok()?;
    Some(timestamp.to_zoned(zone))
}

/// A time zone by its exact name. `Local`, which Go knows too, is undefined: it would depend on the machine.
fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() || name == "UTC" {
        return Some(TimeZone::UTC);
    }
    ZONES.get(name).ok().filter(|zone| zone.iana_name() == Some(name))
}

fn numbers(values: [i16; 3]) -> Term {
    Term::Array(values.iter().map(|value| i128::from(*value).into()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::policy::rego::deadline::Deadline;

    fn number(text: &str) -> Term {
        Term::parse(text.as_bytes(), &Deadline::in_an_hour()).unwrap()
    }

    fn at(nanoseconds: &str, zone: &str) -> Term {
        Term::Array(vec![number(nanoseconds), Term::String(zone.to_owned())])
    }

    #[test]
    fn a_date_and_time_is_read_to_the_nanosecond() {
        for (text, nanoseconds) in [
            ("2026-11-22T19:15:43Z", "1795374943000000000"),
            ("2026-11-22T20:15:43.5+01:00", "1795374943500000000"),
            ("1969-12-31T23:59:59.999999999Z", "-1"),
            ("1970-01-01T00:00:00.0000000019Z", "1"),
            // As odd as Go is about them.
            ("2026-11-22T19:15:43+24:00", "1795288543000000000"),
            ("2026-11-22T19:15:43+24:60", "1795284943000000000"),
            ("2026-11-22T19:15:43-00:00", "1795374943000000000"),
        ] {
            assert_eq!(parse_rfc3339_ns(text), Some(number(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn garbage_is_no_time() {
        for text in [
            "",
            "garbage",
            "2026-11-22",
            "2026-11-22 19:15:43Z",
            "2026-11-22T19:15:43",
            "2026-11-22t19:15:43z",
            "2026-11-22T19:15:60Z",
            "2026-11-22T19:15:43.Z",
            "2026-11-22T19:15:43+01",
            "2026-13-22T19:15:43Z",
            "2026-11-22T19:15:43+25:00",
            "2026-11-22T19:15:43+00:61",
            "2026-11-22T19:15:43+0é:0",
            "0000-01-01T00:00:00Z",
            "2026-11-22T19:15:43Z[UTC]",
            "9999-11-22T19:15:43Z",
            "２０２６-11-22T19:15:43Z",
        ] {
            assert_eq!(parse_rfc3339_ns(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_told_in_its_time_zone() {
        let night = "1795389300000000000"; // 2026-11-22T23:15:00Z, a Sunday
        assert_eq!(date(&number(night)).unwrap().to_string(), "[2026, 11, 22]");
        assert_eq!(date(&at(night, "Europe/Berlin")).unwrap().to_string(), "[2026, 11, 23]");
        assert_eq!(clock(&at(night, "Europe/Berlin")).unwrap().to_string(), "[0, 15, 0]");
        assert_eq!(clock(&at(night, "")).unwrap().to_string(), "[23, 15, 0]");
        assert_eq!(weekday(&at(night, "Europe/Berlin")), Some(Term::String("Monday".to_owned())));
        assert_eq!(weekday(&number(night)), Some(Term::String("Sunday".to_owned())));
    }

    #[test]
    fn a_moment_that_is_none_is_undefined() {
        for moment in [
            Term::Null,
            Term::Array(vec![]),
            at("1e300", "UTC"),
            at("1.5", "UTC"),
            at("1", "Nowhere/City"),
            at("1", "europe/berlin"),
            at("1", "Local"),
            Term::String("1".to_owned()),
        ] {
            assert_eq!(date(&moment), None, "{moment}");
        }
    }
}
