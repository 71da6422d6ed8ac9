//! The certificate of one CA of clients.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::error::AuthoritiesError;
use crate::config;
use crate::identity::{self, Validity, Voucher, der};
use crate::pem::{Located, Place};

/// A CA's certificate that was read.
pub(super) struct Ca {
    pub(super) place: Place,
    pub(super) der: CertificateDer<'static>,
    pub(super) voucher: Voucher,
    pub(super) mark: CaMark,
    pub(super) validity: Validity,
}

/// What a CA is known by, and whether it must answer for its certificates.
#[derive(Debug, Clone)]
pub(in crate::listener) struct CaMark {
    pub(super) name: String,
    /// Subject and public key, DER.
    pub(super) identity: (Vec<u8>, Vec<u8>),
    pub(super) has_list: bool,
}

impl Ca {
    /// Takes a certificate that must be a CA's.
    pub(super) fn read(
        ca: &config::ClientCa,
        found: Located<CertificateDer<'static>>,
    ) -> Result<Self, AuthoritiesError> {
        let Located { place, item } = found;
        let invalid = |cause: String| AuthoritiesError::Ca { place: place.clone(), cause };
        let (mark, validity, is_ca) = {
            let certificate = der::certificate(&item).map_err(invalid)?;
            let identity = (certificate.subject().as_raw().to_vec(), certificate.public_key().raw.to_vec());
            let mark = CaMark { name: certificate.subject().to_string(), identity, has_list: false };
            (mark, Validity::of(&certificate), certificate.is_ca())
        };
        if !is_ca {
            return Err(invalid(format!("{} is no CA's certificate", mark.name)));
        }
        Ok(Self { place, der: item, voucher: ca.voucher.clone(), mark, validity })
    }

    /// A warning for operators about a CA that is outside its validity at `now`.
    pub(super) fn warning(&self, now: Timestamp) -> Option<String> {
        let when = self.validity.outside(now)?;
        Some(format!("{}: client CA {} {when}: its clients are refused", self.place, self.mark.name))
    }
}

/// The instant of a certificate's end.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Timestamp {
    // One that cannot be read ends no connection: each of its answers says that it names nobody.
    identity::not_after(der).unwrap_or(Validity::ALWAYS.not_after)
}
