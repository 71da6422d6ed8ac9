//! From when to when a certificate is valid.

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;

/// A certificate's first and last instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    /// The validity assumed for a certificate that cannot be parsed.
    pub(crate) const ALWAYS: Self = Self { not_before: Timestamp::MIN, not_after: Timestamp::MAX };

    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            not_before: instant(validity.not_before.timestamp()),
            not_after: instant(validity.not_after.timestamp()),
        }
    }

    pub(crate) fn contains(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// In what way `now` is outside of it, for people; `None` if it is not.
    pub(crate) fn outside(&self, now: Timestamp) -> Option<String> {
        if self.not_after < now {
            Some(format!("expired at {}", self.not_after))
        } else if now < self.not_before {
            Some(format!("is not valid before {}", self.not_before))
        } else {
            None
        }
    }
}

/// The instant `seconds` after 1970, clamped to what `Timestamp` can represent: RFC 5280 section 4.1.2.5 marks "no
/// expiry" with 99991231235959Z, some hours beyond [`Timestamp::MAX`].
pub(crate) fn instant(seconds: i64) -> Timestamp {
    let bounded = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(bounded).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_beyond_the_last_one_is_the_last_one() {
        assert_eq!(instant(0), Timestamp::UNIX_EPOCH);
        // 9999-12-31T23:59:59Z
        for beyond in [253_402_300_799, i64::MAX] {
            assert_eq!(instant(beyond).as_second(), Timestamp::MAX.as_second());
        }
        assert_eq!(instant(i64::MIN), Timestamp::MIN);
    }
}
