//! What a certificate or a revocation list holds.

use std::net::IpAddr;

use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

use crate::{Profile, Purpose, Serial, Validity};

/// Why a file's content is not what it should be.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// There is no PEM block of the kind.
    #[error("no PEM block {0}")]
    Pem(&'static str),
    /// The block's content is malformed.
    #[error("the PEM block {0} is malformed")]
    Der(&'static str),
}

/// A certificate that was read.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Who or what it speaks of.
    pub profile: Profile,
    /// When it holds.
    pub validity: Validity,
    /// Its serial number.
    pub serial: Serial,
    /// Its `SubjectPublicKeyInfo`, DER.
    pub public_key: Vec<u8>,
    der: Vec<u8>,
}

/// A revocation list that was read.
#[derive(Debug, Clone)]
pub struct Crl {
    /// From `thisUpdate` to `nextUpdate`; empty where the list names no `nextUpdate`.
    pub validity: Validity,
    /// What it revokes, sorted.
    pub revoked: Vec<Serial>,
    der: Vec<u8>,
}

impl Certificate {
    /// The first certificate in a PEM file.
    pub fn from_pem(pem: &str) -> Result<Self, ReadError> {
        const LABEL: &str = "CERTIFICATE";
        let der = block(pem, LABEL)?;
        let malformed = |_| ReadError::Der(LABEL);
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| ReadError::Der(LABEL))?;
        let usage = parsed.extended_key_usage().map_err(malformed)?;
        let purposes = usage.into_iter().flat_map(|usage| {
            let client = usage.value.client_auth.then_some(Purpose::ClientAuth);
            client.into_iter().chain(usage.value.server_auth.then_some(Purpose::ServerAuth))
        });
        let mut profile = Profile {
            common_name: texts(parsed.subject().iter_common_name()).pop(),
            organizations: texts(parsed.subject().iter_organization()),
            purposes: purposes.collect(),
            is_ca: parsed.is_ca(),
            ..Profile::default()
        };
        let names = parsed.subject_alternative_name().map_err(malformed)?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            add_name(&mut profile, name);
        }
        Ok(Self {
            profile,
            validity: Validity::between(
                parsed.validity().not_before.to_datetime(),
                parsed.validity().not_after.to_datetime(),
            ),
            serial: Serial::new(parsed.raw_serial()),
            public_key: parsed.public_key().raw.to_vec(),
            der: der.clone(),
        })
    }
}

impl Crl {
    /// The first revocation list in a PEM file.
    pub fn from_pem(pem: &str) -> Result<Self, ReadError> {
        const LABEL: &str = "X509 CRL";
        let der = block(pem, LABEL)?;
        let (_, parsed) = CertificateRevocationList::from_der(&der).map_err(|_| ReadError::Der(LABEL))?;
        let mut revoked: Vec<Serial> =
            parsed.iter_revoked_certificates().map(|entry| Serial::new(entry.raw_serial())).collect();
        revoked.sort();
        let this_update = parsed.last_update();
        let next_update = parsed.next_update().unwrap_or(this_update);
        let validity = Validity::between(this_update.to_datetime(), next_update.to_datetime());
        Ok(Self { validity, revoked, der: der.clone() })
    }
}

/// Whether `issuer`'s name and key are those that `certificate` was signed under.
pub(crate) fn is_signed_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let (Ok((_, child)), Ok((_, parent))) =
        (X509Certificate::from_der(&certificate.der), X509Certificate::from_der(&issuer.der))
    else {
        return false;
    };
    same_name(child.issuer(), parent.subject()) && child.verify_signature(Some(parent.public_key())).is_ok()
}

/// Whether `issuer`'s name and key are those that `crl` was signed under.
pub(crate) fn is_crl_signed_by(crl: &Crl, issuer: &Certificate) -> bool {
    let (Ok((_, list)), Ok((_, parent))) =
        (CertificateRevocationList::from_der(&crl.der), X509Certificate::from_der(&issuer.der))
    else {
        return false;
    };
    same_name(list.issuer(), parent.subject()) && list.verify_signature(parent.public_key()).is_ok()
}

fn same_name(left: &X509Name<'_>, right: &X509Name<'_>) -> bool {
    left.as_raw() == right.as_raw()
}

fn block(pem: &str, label: &'static str) -> Result<Vec<u8>, ReadError> {
    match parse_x509_pem(pem.as_bytes()) {
        Ok((_, block)) if block.label == label => Ok(block.contents),
        _ => Err(ReadError::Pem(label)),
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>) -> Vec<String> {
    values.filter_map(|value| value.as_str().ok()).map(str::to_owned).collect()
}

fn add_name(profile: &mut Profile, name: &GeneralName<'_>) {
    match name {
        GeneralName::URI(uri) => profile.uris.push((*uri).to_owned()),
        GeneralName::DNSName(dns) => profile.dns.push((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            profile.ips.extend(v4.or(v6).ok());
        }
        _ => {}
    }
}
