//! What can be wrong with a chain, and what is only unusual: what the gateway and `openssl verify` say of it.

mod authorities;
mod certificates;
mod names;

use rcgen::{CertificateParams, SanType};
use rustls::AlertDescription;

use super::draft::{Draft, Sent, Signer, Spoilt};

/// What the gateway says to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has a connection, and answers.
    Served,
    /// It has a connection, and each answer is 403 `identity_refused`.
    Nobody,
    /// The handshake ends with this alert.
    Alert(AlertDescription),
}

impl Verdict {
    pub(super) const BAD: Self = Self::Alert(AlertDescription::BadCertificate);
    pub(super) const EXPIRED: Self = Self::Alert(AlertDescription::CertificateExpired);
    pub(super) const PURPOSE: Self = Self::Alert(AlertDescription::UnsupportedCertificate);
    pub(super) const REVOKED: Self = Self::Alert(AlertDescription::CertificateRevoked);
    pub(super) const NO_CA: Self = Self::Alert(AlertDescription::UnknownCA);
    pub(super) const UNKNOWN: Self = Self::Alert(AlertDescription::CertificateUnknown);
}

/// What `openssl verify` says of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opinion {
    /// It takes the chains that get a connection, and no others.
    Same,
    /// It says the opposite, for this reason.
    Other(&'static str),
}

/// The worlds that a fault is tried in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Worlds {
    /// All that have nothing special.
    Ordinary,
    /// Those whose issuers have lists.
    Listed,
    /// One, for the twin too.
    Only(&'static str),
    /// One, which is the fault: the twin is in the other.
    Faulty(String, &'static str),
}

type Change = Box<dyn Fn(&mut Draft, usize)>;

/// A fault, or something unusual.
pub(super) struct Fault {
    pub(super) what: String,
    /// The first and the last certificate that can have it; 0 is the client's.
    pub(super) places: (usize, usize),
    /// The fewest and the most intermediates of its chains.
    pub(super) depths: (usize, usize),
    pub(super) worlds: Worlds,
    pub(super) verdict: Verdict,
    pub(super) openssl: Opinion,
    /// What its twin has too.
    pub(super) prepare: Change,
    pub(super) change: Change,
}

const LEAF: (usize, usize) = (0, 0);
const ANY: (usize, usize) = (0, usize::MAX);
const INTERMEDIATES: (usize, usize) = (1, usize::MAX);

impl Fault {
    fn new(what: &str, places: (usize, usize), verdict: Verdict, change: impl Fn(&mut Draft, usize) + 'static) -> Self {
        Self {
            what: what.to_owned(),
            places,
            depths: (0, 4),
            worlds: Worlds::Ordinary,
            verdict,
            openssl: Opinion::Same,
            prepare: Box::new(|_, _| {}),
            change: Box::new(change),
        }
    }

    /// A fault of what a certificate says.
    fn says(
        what: &str,
        places: (usize, usize),
        verdict: Verdict,
        change: impl Fn(&mut CertificateParams) + 'static,
    ) -> Self {
        Self::new(what, places, verdict, move |draft, at| change(draft.params(at)))
    }

    /// A fault of a certificate's making.
    fn made(what: &str, places: (usize, usize), verdict: Verdict, signer: Signer, spoilt: Spoilt) -> Self {
        Self::new(what, places, verdict, move |draft, at| {
            draft.pieces[at].signer = signer;
            draft.pieces[at].spoilt = spoilt;
        })
    }

    /// What a client sends, by the place that a variation is at.
    fn sends(what: &str, verdict: Verdict, sent: impl Fn(usize) -> Sent + 'static) -> Self {
        Self::new(what, LEAF, verdict, move |draft, at| draft.sent = sent(at))
    }

    /// The client's names.
    fn named(what: &str, verdict: Verdict, names: &[SanType]) -> Self {
        let names = names.to_vec();
        Self::says(what, LEAF, verdict, move |params| params.subject_alt_names.clone_from(&names))
    }

    fn at(self, places: (usize, usize)) -> Self {
        Self { places, ..self }
    }

    fn deep(self, least: usize, most: usize) -> Self {
        Self { depths: (least, most), ..self }
    }

    fn in_worlds(self, worlds: Worlds) -> Self {
        Self { worlds, ..self }
    }

    fn prepared(self, prepare: impl Fn(&mut Draft, usize) + 'static) -> Self {
        Self { prepare: Box::new(prepare), ..self }
    }

    fn but_openssl(self, why: &'static str) -> Self {
        Self { openssl: Opinion::Other(why), ..self }
    }
}

/// All of them.
pub(super) fn all() -> Vec<Fault> {
    let mut all = certificates::times();
    all.extend(certificates::purposes());
    all.extend(certificates::serials());
    all.extend(certificates::forms());
    all.extend(authorities::issuers());
    all.extend(authorities::signatures());
    all.extend(authorities::sent());
    all.extend(authorities::roots());
    all.extend(authorities::lists());
    all.extend(names::identities());
    all.extend(names::constrained());
    all
}
