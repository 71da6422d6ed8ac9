//! Revocation lists, and which CA's they are.

use std::cmp::Reverse;

use jiff::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::ca::{Ca, CaMark};
use super::error::AuthoritiesError;
use crate::identity::{der, instant};
use crate::pem::{Located, Place};

/// A revocation list, as far as it must be known to choose where it counts.
pub(super) struct RevocationList {
    place: Place,
    pub(super) der: CertificateRevocationListDer<'static>,
    /// Subject and public key of the client CAs that signed it.
    signers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) mark: ListMark,
}

/// Which list it is: what tells an issuer's newer list from an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::listener) struct ListMark {
    /// The issuer's name for people.
    pub(in crate::listener) issuer: String,
    /// The issuer's name (DER) and the id of its key, where the list tells it.
    key: (Vec<u8>, Option<Vec<u8>>),
    /// The list's number (RFC 5280 section 5.2.3), big-endian without leading zeros.
    number: Option<Vec<u8>>,
    this_update: Timestamp,
    pub(in crate::listener) next_update: Option<Timestamp>,
}

impl ListMark {
    pub(in crate::listener) fn is_of_same_issuer(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether it was made before `other`, a list of the same issuer.
    pub(in crate::listener) fn is_older_than(&self, other: &Self) -> bool {
        let number = |mark: &Self| mark.number.as_ref().map(|number| (number.len(), number.clone()));
        let counts_back = number(self).zip(number(other)).is_some_and(|(mine, others)| mine < others);
        counts_back || self.this_update < other.this_update
    }

    pub(in crate::listener) fn is_over(&self, now: Timestamp) -> bool {
        self.next_update.is_some_and(|next_update| next_update <= now)
    }
}

impl RevocationList {
    pub(super) fn read(found: Located<CertificateRevocationListDer<'static>>) -> Result<Self, AuthoritiesError> {
        let Located { place, item: der } = found;
        let mark =
            ListMark::read(&der).map_err(|cause| AuthoritiesError::RevocationList { place: place.clone(), cause })?;
        Ok(Self { place, der, signers: Vec::new(), mark })
    }

    /// The error that it cannot be used.
    pub(super) fn invalid(&self, cause: String) -> AuthoritiesError {
        AuthoritiesError::RevocationList { place: self.place.clone(), cause }
    }

    /// Whether it has something to say about a CA's chains: not if it is of a namesake with another key.
    pub(super) fn applies_to(&self, ca: &CaMark) -> bool {
        self.mark.key.0 != ca.identity.0 || self.signers.contains(&ca.identity)
    }

    fn is_signed_by(&self, ca: &Ca, provider: &CryptoProvider) -> bool {
        let parsed = CertificateRevocationList::from_der(&self.der).ok().zip(X509Certificate::from_der(&ca.der).ok());
        let Some(((_, list), (_, ca))) = parsed else { return false };
        let (key, signature) = (&ca.public_key().subject_public_key.data, &list.signature_value.data);
        let signed = list.tbs_cert_list.as_ref();
        // Those that the handshake has as well. With the CA's key, any of them will do.
        let mut algorithms = provider.signature_verification_algorithms.all.iter();
        algorithms.any(|algorithm| algorithm.verify_signature(key, signed, signature).is_ok())
    }
}

impl ListMark {
    fn read(der: &CertificateRevocationListDer<'_>) -> Result<Self, String> {
        let list = der::whole(CertificateRevocationList::from_der(der))?;
        let key_id = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(identifier) => identifier.key_identifier.as_ref(),
            _ => None,
        });
        Ok(Self {
            issuer: list.issuer().to_string(),
            key: (list.issuer().as_raw().to_vec(), key_id.map(|id| id.0.to_vec())),
            number: list.crl_number().map(BigUint::to_bytes_be),
            this_update: instant(list.last_update().timestamp()),
            next_update: list.next_update().map(|end| instant(end.timestamp())),
        })
    }
}

/// Finds out which CA signed which list, and puts the lists in the order in which they count.
pub(super) fn assign(
    lists: &mut [RevocationList],
    cas: &mut [Ca],
    provider: &CryptoProvider,
) -> Result<(), AuthoritiesError> {
    // webpki takes the first list of an issuer.
    lists.sort_by_key(|list| Reverse(list.mark.this_update));
    for list in lists.iter_mut() {
        for ca in cas.iter_mut().filter(|ca| ca.mark.identity.0 == list.mark.key.0) {
            if list.is_signed_by(ca, provider) {
                list.signers.push(ca.mark.identity.clone());
                ca.mark.has_list = true;
            }
        }
    }
    for list in lists.iter().filter(|list| list.signers.is_empty()) {
        let issuer = &list.mark.issuer;
        // To leave out a list that seems to be this CA's would be to forget what it revokes.
        if cas.iter().any(|ca| ca.mark.identity.0 == list.mark.key.0 && !ca.mark.has_list) {
            let cause = format!("it names {issuer} as its issuer, but is not signed by the client CA of that name");
            return Err(list.invalid(cause));
        }
    }
    Ok(())
}

/// What there is to say about lists that no client CA signed.
pub(super) fn foreign(lists: &[RevocationList]) -> impl Iterator<Item = String> {
    lists.iter().filter(|list| list.signers.is_empty()).map(|list| {
        format!(
            "{}: no client CA issued the revocation list of {}: it counts only for an intermediate CA of this name",
            list.place, list.mark.issuer
        )
    })
}

/// The newest list of each issuer, from all in their order. One that only seems to be a client CA's is nothing to compare
/// later ones with: whoever forged it would decide which of them are old.
pub(super) fn newest(lists: &[RevocationList], cas: &[Ca]) -> Vec<ListMark> {
    let seems_a_cas = |list: &RevocationList| cas.iter().any(|ca| ca.mark.identity.0 == list.mark.key.0);
    let mut newest: Vec<ListMark> = Vec::new();
    for list in lists.iter().filter(|list| !list.signers.is_empty() || !seems_a_cas(list)) {
        if !newest.iter().any(|mark| mark.is_of_same_issuer(&list.mark)) {
            newest.push(list.mark.clone());
        }
    }
    newest
}
