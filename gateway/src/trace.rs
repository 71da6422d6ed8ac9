//! The trace that a request belongs to, as its caller names it (W3C Trace Context, sections 2 and 3.2).
//!
//! The gateway creates no spans: its log lines and audit records have the trace's id.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// The header that names a trace, and the span of it that sends the request.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The length of the header's value in version 00, which later versions only prolong.
const LENGTH: usize = 55;

/// The id of a trace: 16 bytes, not all of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    /// 32 digits of lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TraceId {
    /// The trace that a request with these headers belongs to. A header that is not understood, or that is there twice,
    /// names none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(parent(headers)?.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let is_lower_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.get(..LENGTH)?.split(|byte| *byte == b'-');
        let [version, trace, span, flags] = std::array::from_fn(|_| parts.next().unwrap_or_default());
        let lengths = [version, trace, span, flags].map(<[u8]>::len);
        let is_well_formed = lengths == [2, 32, 16, 2] && [version, trace, span, flags].into_iter().all(is_lower_hex);
        let is_whole = match text.get(LENGTH) {
            None => true,
            Some(next) => version != b"00" && *next == b'-',
        };
        if !is_well_formed || !is_whole || version == b"ff" || span.iter().all(|digit| *digit == b'0') {
            return None;
        }
        let id = u128::from_str_radix(std::str::from_utf8(trace).ok()?, 16).ok()?;
        (id != 0).then_some(Self(id))
    }
}

/// The only header of its name.
fn parent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (TRACEPARENT, HeaderValue::from_str(value).unwrap())).collect()
    }

    fn twice(value: &str) -> HeaderMap {
        let mut headers = headers(&[value]);
        headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn a_trace_is_named_by_one_well_formed_header() {
        let id = |text: &str| TraceId::of(&headers(&[text])).map(|id| id.to_string());
        for right in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"),
        ] {
            assert_eq!(id(&right).as_deref(), Some(TRACE), "{right}");
            assert_eq!(TraceId::of(&twice(&right)), None, "{right} twice");
        }
        for wrong in [
            String::new(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{}-00f067aa0ba902b7-010", &TRACE[1..]),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
        ] {
            assert_eq!(id(&wrong), None, "{wrong}");
        }
        assert_eq!(TraceId::of(&HeaderMap::new()), None);
    }
}
