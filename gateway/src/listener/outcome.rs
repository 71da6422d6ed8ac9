//! How handshakes end.

use std::io;

use rustls::Error;

/// What became of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    /// It took too long.
    Timeout,
    /// Others needed its room.
    CrowdedOut,
    /// The client left; port scans and TCP health checks do that.
    Closed,
    /// The client showed no certificate.
    NoCertificate,
    /// The client's certificate was refused.
    BadCertificate,
    /// The two had no common ground.
    TlsError,
}

impl Outcome {
    pub(super) const ALL: [Self; 7] = [
        Self::Ok,
        Self::Timeout,
        Self::CrowdedOut,
        Self::Closed,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::TlsError,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::CrowdedOut => "crowded_out",
            Self::Closed => "closed",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::TlsError => "tls_error",
        }
    }

    /// That of a handshake that failed.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_)) => Self::BadCertificate,
            Some(_) => Self::TlsError,
            None => Self::Closed,
        }
    }
}
