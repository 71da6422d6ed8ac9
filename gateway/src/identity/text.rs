//! Names that go into policies, logs and terminals must be plain text.

use thiserror::Error;

use crate::text::invisible;

/// The most bytes of a common name or an organization.
const MAX_BYTES: usize = 256;

/// Why a name is not plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidText {
    /// It is in an encoding other than UTF-8 or ASCII, or broken in it.
    #[error("is not UTF-8 text")]
    Encoding,
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is too long.
    #[error("is longer than {MAX_BYTES} bytes")]
    Long,
    /// It has characters that cannot be seen, which make two names look like one.
    #[error("has invisible characters or outer blanks")]
    Invisible,
}

/// `text` itself, if it is plain.
pub(super) fn plain(text: &str) -> Result<&str, InvalidText> {
    if text.is_empty() {
        return Err(InvalidText::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(InvalidText::Long);
    }
    if text.trim() != text || text.chars().any(invisible) {
        return Err(InvalidText::Invisible);
    }
    Ok(text)
}

/// A short form of untrusted text for an error message: escaped and cut.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 80;
    let cut: String = text.chars().take(SHOWN).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}
