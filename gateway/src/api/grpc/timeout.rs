//! How long a client waits, as gRPC says it.

use std::time::Duration;

use http::HeaderMap;

use crate::api::error::Error;
use crate::api::fields::invalid_parameter;

/// The name of the header (gRPC over HTTP/2, "Requests": `TimeoutValue TimeoutUnit`).
const HEADER: &str = "grpc-timeout";

/// The time that a request gives itself, if it does.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(parse).filter(|_| values.next().is_none());
    timeout
        .map(Some)
        .ok_or_else(|| invalid_parameter(HEADER, "takes one value: one to eight digits and one of H, M, S, m, u and n"))
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_timeout_is_a_short_number_and_a_unit() {
        for (text, timeout) in [
            ("1H", Some(Duration::from_hours(1))),
            ("2M", Some(Duration::from_mins(2))),
            ("10S", Some(Duration::from_secs(10))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("5u", Some(Duration::from_micros(5))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("10", None),
            ("123456789S", None),
            ("-1S", None),
            ("+1S", None),
            ("1 S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), timeout, "{text:?}");
        }
    }

    #[test]
    fn two_timeouts_are_none_that_could_be_kept() {
        let headers = |values: &[&'static str]| {
            values.iter().map(|value| (HeaderName::from_static(HEADER), HeaderValue::from_static(value))).collect()
        };
        assert!(matches!(of(&headers(&["1S"])), Ok(Some(second)) if second == Duration::from_secs(1)));
        assert!(of(&headers(&["1S", "1H"])).is_err());
        assert!(matches!(of(&headers(&[])), Ok(None)));
    }
}
