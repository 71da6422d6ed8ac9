//! The files of the client.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Gateway, Report};
use crate::identity::{Validity, claimed, der};
use crate::pem::{self, Located};

/// A certificate that ends sooner is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What the files hold.
pub(super) struct Files {
    pub(super) roots: RootCertStore,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Files {
    /// Reads them, and says what is wrong with them; `None` if a handshake would make no sense.
    pub(super) fn read(gateway: &Gateway, report: &mut Report) -> Option<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = authorities(&gateway.ca, report);
        let chain = chain(&gateway.cert, report);
        let key = chain.as_ref().and_then(|chain| key(gateway, chain, &provider, report));
        Some(Self { roots: roots?, chain: chain?, key: key?, provider })
    }
}

fn authorities(file: &Path, report: &mut Report) -> Option<RootCertStore> {
    let certificates = match pem::certificates(file) {
        Ok(certificates) => certificates,
        Err(error) => {
            report.fail("ca", error.to_string(), "--ca takes the PEM file with the CA of the gateway's certificate");
            return None;
        }
    };
    let (mut roots, mut names, mut lapsed) = (RootCertStore::empty(), Vec::new(), Vec::new());
    for Located { place, item } in certificates {
        if let Ok(certificate) = der::certificate(&item) {
            names.push(certificate.subject().to_string());
            let when = Validity::of(&certificate).outside(Timestamp::now());
            lapsed.extend(when.map(|when| format!("{place}: the CA {when}")));
        }
        if let Err(error) = roots.add(item) {
            report.fail("ca", format!("{place}: cannot be a CA: {error}"), "leave it out of the file");
            return None;
        }
    }
    if lapsed.is_empty() {
        report.ok("ca", format!("{}: {}", file.display(), names.join("; ")));
    } else {
        // This program trusts the keys of CAs whatever the time; most others, as curl, do not.
        report.warn("ca", lapsed.join("; "), "replace it by its successor: most other clients do not trust it now");
    }
    Some(roots)
}

fn chain(file: &Path, report: &mut Report) -> Option<Vec<CertificateDer<'static>>> {
    const STEP: &str = "certificate";
    let located = match pem::certificates(file) {
        Ok(certificates) => certificates,
        Err(error) => {
            report.fail(STEP, error.to_string(), "--cert takes the PEM file with your certificate, your own first");
            return None;
        }
    };
    let chain: Vec<_> = located.into_iter().map(|certificate| certificate.item).collect();
    let own = chain.first()?;
    let certificate = der::certificate(own).ok()?;
    let (validity, now) = (Validity::of(&certificate), Timestamp::now());
    let names = match claimed(own) {
        Ok(client) if client.groups.is_empty() => client.id,
        Ok(client) => format!("{} in {}", client.id, client.groups.join(", ")),
        Err(error) => {
            report.fail(STEP, error.to_string(), "have it issued again");
            return Some(chain);
        }
    };
    let issuer = certificate.issuer();
    let detail = format!("{names}, issued by {issuer}, valid until {}", validity.not_after);
    if validity.not_after < now {
        let detail = format!("{names}: it expired at {}, and this machine's clock says {now}", validity.not_after);
        report.fail(STEP, detail, "renew it, or set the clock if that is wrong");
    } else if now < validity.not_before {
        let detail = format!("{names}: it is valid from {}, and this machine's clock says {now}", validity.not_before);
        report.fail(STEP, detail, "set the clock of this machine, or wait");
    } else if validity.not_after.duration_since(now) < SOON {
        report.warn(STEP, detail, "renew it soon");
    } else {
        report.ok(STEP, detail);
    }
    Some(chain)
}

fn key(
    gateway: &Gateway,
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
    report: &mut Report,
) -> Option<PrivateKeyDer<'static>> {
    const STEP: &str = "key";
    let key = match pem::private_key(&gateway.key) {
        Ok(key) => key,
        Err(error) => {
            report.fail(STEP, error.to_string(), "--key takes the PEM file with the certificate's private key");
            return None;
        }
    };
    let signing = match provider.key_provider.load_private_key(key.clone_key()) {
        Ok(signing) => signing,
        Err(error) => {
            report.fail(STEP, format!("{}: {error}", gateway.key.display()), "use an ECDSA, Ed25519 or RSA key");
            return None;
        }
    };
    if let Err(error) = CertifiedKey::new(chain.to_vec(), signing).keys_match() {
        let detail = format!("{} is not the key of {}: {error}", gateway.key.display(), gateway.cert.display());
        report.fail(STEP, detail, "name the key that the certificate was requested with");
        return None;
    }
    report.ok(STEP, format!("{} is the certificate's", gateway.key.display()));
    Some(key)
}
