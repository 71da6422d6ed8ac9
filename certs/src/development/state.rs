//! Whether what is there can stay.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData};
use time::OffsetDateTime;

use crate::read::{Certificate, Crl};
use crate::{CertificateAuthority, LeafSpec, Serial, Validity};

/// What became of a file, or why it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was good and was left alone.
    Kept,
    /// It was made because everything was to be made anew.
    Forced,
    /// It was made because it, or its key, was missing.
    Missing,
    /// It was made because it, or its key, could not be read.
    Unreadable,
    /// It was made because it said something else, belonged to another key or was another authority's.
    Different,
    /// It was made because its end was near.
    Ending,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kept => "kept",
            Self::Forced => "made (forced)",
            Self::Missing => "made (was missing)",
            Self::Unreadable => "made (was unreadable)",
            Self::Different => "made (was another)",
            Self::Ending => "made (was ending)",
        })
    }
}

/// By what a file is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) now: OffsetDateTime,
    pub(super) renew_percent: u8,
    pub(super) force: bool,
}

impl Rules {
    /// The state of something that is good but for its age, perhaps.
    pub(super) fn by_age(self, validity: &Validity) -> State {
        if self.force {
            State::Forced
        } else if validity.percent_left(self.now) < self.renew_percent || validity.is_over(self.now) {
            State::Ending
        } else {
            State::Kept
        }
    }

    /// The state of a certificate and its key, which should be what `spec` says and signed by `authority`.
    pub(super) fn of_pair(
        self,
        cert: Option<&str>,
        key: Option<&str>,
        spec: &LeafSpec,
        authority: &CertificateAuthority,
    ) -> State {
        if self.force {
            return State::Forced;
        }
        let (Some(cert), Some(key)) = (cert, key) else { return State::Missing };
        let (Ok(cert), Ok(key)) = (Certificate::from_pem(cert), KeyPair::from_pem(key)) else {
            return State::Unreadable;
        };
        let ours = authority.signed(&cert) && cert.public_key == key.subject_public_key_info();
        if !ours || cert.profile != spec.profile {
            return State::Different;
        }
        // One that should be over is good for as long as it is.
        match (spec.validity.is_over(self.now), cert.validity.is_over(self.now)) {
            (true, true) => State::Kept,
            (true, false) => State::Different,
            (false, _) => self.by_age(&cert.validity),
        }
    }

    /// The state of a revocation list, which should revoke at least `serial`; and what it revokes already, so far as
    /// `authority` signed it.
    pub(super) fn of_crl(
        self,
        crl: Option<&str>,
        serial: &Serial,
        authority: &CertificateAuthority,
    ) -> (State, Vec<Serial>) {
        let Some(crl) = crl else { return (self.or_forced(State::Missing), Vec::new()) };
        let Ok(crl) = Crl::from_pem(crl) else { return (self.or_forced(State::Unreadable), Vec::new()) };
        if !authority.signed_crl(&crl) {
            return (self.or_forced(State::Different), Vec::new());
        }
        let complete = crl.revoked.contains(serial);
        let state = if complete { self.by_age(&crl.validity) } else { self.or_forced(State::Different) };
        (state, crl.revoked)
    }

    fn or_forced(self, state: State) -> State {
        if self.force { State::Forced } else { state }
    }
}
