//! SPIFFE ids, by the SPIFFE-ID standard (sections 2.1 to 2.3) and, for leaf certificates, X509-SVID (section 3.1).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest SPIFFE id in bytes, SPIFFE-ID section 2.3.
const MAX_ID_BYTES: usize = 2048;
/// The longest trust domain in bytes, SPIFFE-ID section 2.3.
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// The name of a trust domain: 1 to 255 lower-case letters, digits, dots, dashes and underscores.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name, without scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no trust domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a trust domain has 1 to {MAX_TRUST_DOMAIN_BYTES} lower-case letters, digits, dots, dashes and underscores")]
pub struct InvalidTrustDomain;

impl FromStr for TrustDomain {
    type Err = InvalidTrustDomain;

    fn from_str(text: &str) -> Result<Self, InvalidTrustDomain> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > MAX_TRUST_DOMAIN_BYTES || !text.bytes().all(allowed) {
            return Err(InvalidTrustDomain);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Which rule for the SPIFFE id of a client a URI breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSpiffeId {
    /// It is too long.
    #[error("it may have {MAX_ID_BYTES} bytes at most")]
    Long,
    /// Another scheme.
    #[error("it must begin with spiffe://")]
    Scheme,
    /// A port, user information, an upper-case letter or something else that is no trust domain.
    #[error("after spiffe://, {0}")]
    TrustDomain(#[from] InvalidTrustDomain),
    /// There is no path, so it names a trust domain instead of a client.
    #[error("it must have a path that names the client")]
    NoPath,
    /// An empty, `.` or `..` segment, a query, a fragment, a percent sign or another character.
    #[error(
        "each segment of its path must be letters, digits, dots, dashes and underscores, and not empty, \".\" or \"..\""
    )]
    Path,
}

/// Checks that `uri` is the SPIFFE id of a client and gives its trust domain.
pub(super) fn trust_domain_of(uri: &str) -> Result<TrustDomain, InvalidSpiffeId> {
    if uri.len() > MAX_ID_BYTES {
        return Err(InvalidSpiffeId::Long);
    }
    let rest = uri.strip_prefix("spiffe://").ok_or(InvalidSpiffeId::Scheme)?;
    let (domain, path) = match rest.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (rest, None),
    };
    let domain = domain.parse()?;
    if !path.ok_or(InvalidSpiffeId::NoPath)?.split('/').all(is_segment) {
        return Err(InvalidSpiffeId::Path);
    }
    Ok(domain)
}

fn is_segment(segment: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_tells_its_trust_domain() {
        for id in ["spiffe://example.org/ci", "spiffe://example.org/ns/a/sa/B_c-1.2", "spiffe://example.org/..."] {
            assert_eq!(trust_domain_of(id).map(|domain| domain.to_string()).as_deref(), Ok("example.org"), "{id}");
        }
    }

    #[test]
    fn whatever_the_standard_forbids_is_refused() {
        use InvalidSpiffeId::{Long, NoPath, Path, Scheme, TrustDomain};
        let long = format!("spiffe://a/{}", "b".repeat(2048));
        let long_domain = format!("spiffe://{}/x", "a".repeat(256));
        for (id, error) in [
            ("", Scheme),
            ("https://example.org/ci", Scheme),
            ("SPIFFE://example.org/ci", Scheme),
            ("spiffe:/example.org/ci", Scheme),
            ("spiffe:///ci", TrustDomain(InvalidTrustDomain)),
            ("spiffe://Example.org/ci", TrustDomain(InvalidTrustDomain)),
            ("spiffe://example.org:8443/ci", TrustDomain(InvalidTrustDomain)),
            ("spiffe://me@example.org/ci", TrustDomain(InvalidTrustDomain)),
            ("spiffe://ex%61mple.org/ci", TrustDomain(InvalidTrustDomain)),
            ("spiffe://example.org?q/ci", TrustDomain(InvalidTrustDomain)),
            (&long_domain, TrustDomain(InvalidTrustDomain)),
            ("spiffe://example.org", NoPath),
            ("spiffe://example.org/", Path),
            ("spiffe://example.org//ci", Path),
            ("spiffe://example.org/ci/", Path),
            ("spiffe://example.org/./ci", Path),
            ("spiffe://example.org/a/../ci", Path),
            ("spiffe://example.org/ci?x=1", Path),
            ("spiffe://example.org/ci#x", Path),
            ("spiffe://example.org/c%69", Path),
            ("spiffe://example.org/c i", Path),
            ("spiffe://example.org/ci\0", Path),
            ("spiffe://example.org/\u{441}i", Path),
            (&long, Long),
        ] {
            assert_eq!(trust_domain_of(id), Err(error), "{id:?}");
        }
    }
}
