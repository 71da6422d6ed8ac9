//! Traces (W3C Trace Context, sections 2 and 3.2): which one a request belongs to, and the gateway's own spans of it.
//!
//! A request's log lines and audit records have its trace's id, and writes to the API server name the trace. Spans are
//! made only where an OpenTelemetry collector is configured.

mod export;

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use export::{Spans, Started, TraceError};

/// The header that names a trace, and the span of it that sends the request.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The length of the header's value in version 00, which later versions only prolong.
const LENGTH: usize = 55;
/// The flag of a trace whose spans are exported.
const SAMPLED: u8 = 1;

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct TraceId(NonZeroU128);

impl fmt::Display for TraceId {
    /// 32 digits of lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A span of a trace, by which other spans and requests name what caused them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: NonZeroU64,
    is_sampled: bool,
}

impl Serialize for TraceContext {
    /// As the id of its trace.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.trace)
    }
}

impl TraceContext {
    /// The span that sends a request with these headers. A header that is not understood, or that is there twice, names
    /// none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(parent(headers)?.as_bytes())
    }

    /// The id of the trace.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// The value of `traceparent` in what the span sends.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let Self { trace, span, is_sampled } = self;
        HeaderValue::try_from(format!("00-{trace}-{span:016x}-{:02x}", u8::from(*is_sampled) * SAMPLED)).ok()
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
        if !is_well_formed || !is_whole || version == b"ff" {
            return None;
        }
        let text = |part| std::str::from_utf8(part).ok();
        let trace = u128::from_str_radix(text(trace)?, 16).ok().and_then(NonZeroU128::new)?;
        let span = u64::from_str_radix(text(span)?, 16).ok().and_then(NonZeroU64::new)?;
        let flags = u8::from_str_radix(text(flags)?, 16).ok()?;
        Some(Self { trace: TraceId(trace), span, is_sampled: flags & SAMPLED != 0 })
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
        let id = |text: &str| TraceContext::of(&headers(&[text])).map(|context| context.trace().to_string());
        for right in [
            format!("00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-00"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-brings"),
        ] {
            assert_eq!(id(&right).as_deref(), Some(TRACE), "{right}");
            assert_eq!(TraceContext::of(&twice(&right)), None, "{right} twice");
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
        assert_eq!(TraceContext::of(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_sent_on_names_the_same_span_and_flag() {
        for (received, sent) in [("01", "01"), ("00", "00"), ("03", "01"), ("fe", "00")] {
            let named = |flags| format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
            let context = TraceContext::of(&headers(&[&named(received)])).unwrap();
            assert_eq!(context.header().unwrap(), named(sent));
        }
    }
}
