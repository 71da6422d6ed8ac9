//! From when to when something holds.

use time::{Duration, OffsetDateTime};

/// How far a clock may be behind this machine's and still accept what was just issued: 5 minutes.
pub const CLOCK_SKEW: Duration = Duration::minutes(5);

/// A span of time, in whole seconds as X.509 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first instant.
    pub not_before: OffsetDateTime,
    /// The last instant.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// From [`CLOCK_SKEW`] ago until `days` days from now.
    pub fn days(days: u32) -> Self {
        let now = OffsetDateTime::now_utc();
        Self::between(now - CLOCK_SKEW, now + Duration::days(days.into()))
    }

    /// From one instant to another; `SystemTime` will do.
    pub fn between(not_before: impl Into<OffsetDateTime>, not_after: impl Into<OffsetDateTime>) -> Self {
        Self { not_before: not_before.into(), not_after: not_after.into() }
    }

    /// The same, but no longer than until `end`.
    #[must_use]
    pub fn until_at_most(self, end: OffsetDateTime) -> Self {
        Self { not_after: self.not_after.min(end), ..self }
    }

    /// Whether the span is over.
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        now > self.not_after
    }

    /// The part of the span that is left, in percent: 0 when it is over, 0 as well before it begins, for what does not
    /// hold yet is of as little use.
    pub fn percent_left(&self, now: OffsetDateTime) -> u8 {
        let (left, whole) = (self.not_after - now, self.not_after - self.not_before);
        if left.is_negative() || now < self.not_before || !whole.is_positive() {
            return 0;
        }
        u8::try_from(left.whole_seconds().saturating_mul(100) / whole.whole_seconds().max(1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ten_days() -> Validity {
        let start = OffsetDateTime::UNIX_EPOCH;
        Validity::between(start, start + Duration::days(10))
    }

    #[test]
    fn the_part_that_is_left_falls_from_all_to_nothing() {
        let at = |days| ten_days().percent_left(OffsetDateTime::UNIX_EPOCH + Duration::days(days));
        assert_eq!([at(0), at(4), at(10)], [100, 60, 0]);
    }

    #[test]
    fn nothing_is_left_outside_the_span() {
        let at = |days| ten_days().percent_left(OffsetDateTime::UNIX_EPOCH + Duration::days(days));
        assert_eq!([at(-1), at(11)], [0, 0]);
    }

    #[test]
    fn an_empty_span_has_nothing_left() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(Validity::between(now, now).percent_left(now), 0);
    }

    #[test]
    fn a_span_can_be_cut_but_not_prolonged() {
        let span = ten_days();
        assert_eq!(span.until_at_most(span.not_after + Duration::days(1)), span);
        let cut = span.not_before + Duration::days(2);
        assert_eq!(span.until_at_most(cut).not_after, cut);
    }
}
