#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::policy::rego::deadline::Deadline;

fn number(text: &str) -> Term {
    Term::parse(text.as_bytes(), &Deadline::in_an_hour()).unwrap()
}

fn asked(builtin: fn(&mut Context, &[Term]) -> Answer, argument: Term) -> Answer {
    builtin(&mut Context::of(1 << 10), &[argument])
}

fn read(text: &str) -> Answer {
    asked(parse_rfc3339_ns, text.into())
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
        assert_eq!(read(text), Ok(number(nanoseconds)), "{text}");
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
        assert_eq!(read(text), Err(Stop::Undefined), "{text}");
    }
}

#[test]
fn a_moment_is_told_in_its_time_zone() {
    let night = "1795389300000000000"; // 2026-11-22T23:15:00Z, a Sunday
    assert_eq!(asked(date, number(night)).unwrap().to_string(), "[2026, 11, 22]");
    assert_eq!(asked(date, at(night, "Europe/Berlin")).unwrap().to_string(), "[2026, 11, 23]");
    assert_eq!(asked(clock, at(night, "Europe/Berlin")).unwrap().to_string(), "[0, 15, 0]");
    assert_eq!(asked(clock, at(night, "")).unwrap().to_string(), "[23, 15, 0]");
    assert_eq!(asked(weekday, at(night, "Europe/Berlin")), Ok("Monday".into()));
    assert_eq!(asked(weekday, number(night)), Ok("Sunday".into()));
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
        Term::String("1".to_owned()),
    ] {
        assert_eq!(asked(date, moment.clone()), Err(Stop::Undefined), "{moment}");
    }
}
