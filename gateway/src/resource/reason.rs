//! Why a count was set, in the asker's words.

use thiserror::Error;

use crate::text::invisible;

/// The most bytes of a reason.
pub const MAX_REASON_BYTES: usize = 512;

/// Why a text cannot be a reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidReason {
    /// It has so many bytes.
    #[error("has {0} bytes: it may have {MAX_REASON_BYTES} at most")]
    Long(usize),
    /// It has a character that cannot be seen.
    #[error("contains {0:?}: it takes no control or invisible characters")]
    Invisible(char),
}

/// Checks that a reason can be shown and stored.
pub fn check_reason(text: &str) -> Result<(), InvalidReason> {
    if text.len() > MAX_REASON_BYTES {
        return Err(InvalidReason::Long(text.len()));
    }
    text.chars().find(|character| invisible(*character)).map_or(Ok(()), |found| Err(InvalidReason::Invisible(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_short_printable_text() {
        for text in ["", "launch at noon, größer", &"x".repeat(MAX_REASON_BYTES)] {
            assert_eq!(check_reason(text), Ok(()), "{text:?}");
        }
        for text in ["a\nb", "a\u{200b}b", &"é".repeat(MAX_REASON_BYTES / 2 + 1)] {
            assert!(check_reason(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_proto_and_the_schema_of_policies_name_the_limit() {
        let proto = include_str!("../../proto/scalegate/v1/replica_service.proto");
        assert!(proto.contains(&format!("// Why; at most {MAX_REASON_BYTES} bytes.")));
        let schema = include_str!("../../../policies/schema.json");
        assert!(schema.contains(&format!("Why, {MAX_REASON_BYTES} bytes at most.")));
    }
}
