//! What there can be against a client that got in before.

use rustls::{CertificateError, Error};

/// Why a client that got in before would not get in now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::listener) enum Objection {
    /// The certificate, or one above it, has ended.
    Expired,
    /// The certificate, or one above it, is revoked.
    Revoked,
    /// No CA vouches for the certificate any more.
    Untrusted,
    /// It now names somebody else, or nobody: its CA speaks for another trust domain.
    Renamed,
    /// The client is on the list of denied ones.
    Denied,
}

impl Objection {
    pub(in crate::listener) const ALL: [Self; 5] =
        [Self::Expired, Self::Revoked, Self::Untrusted, Self::Renamed, Self::Denied];

    pub(in crate::listener) fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Untrusted => "untrusted",
            Self::Renamed => "renamed",
            Self::Denied => "denied",
        }
    }
}

/// What an error of the verification says about a chain that was verified before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Objection(Objection),
    /// Nothing else is known: the list that would say is past its `nextUpdate`.
    ListExpired,
}

impl Verdict {
    pub(super) fn of(error: &Error) -> Self {
        use CertificateError::{
            ApplicationVerificationFailure, Expired, ExpiredContext, ExpiredRevocationList,
            ExpiredRevocationListContext, Revoked,
        };
        match error {
            Error::InvalidCertificate(ApplicationVerificationFailure) => Self::Objection(Objection::Denied),
            Error::InvalidCertificate(Revoked) => Self::Objection(Objection::Revoked),
            Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Self::Objection(Objection::Expired),
            Error::InvalidCertificate(ExpiredRevocationList | ExpiredRevocationListContext { .. }) => Self::ListExpired,
            _ => Self::Objection(Objection::Untrusted),
        }
    }
}
