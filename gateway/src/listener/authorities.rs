//! The CAs of clients: which certificates they vouch for, and for which trust domain.
//!
//! Revocation: every list applies to every CA, so that a certificate that is known to be revoked is refused by whatever
//! chain it comes. A CA that a list belongs to must answer for its whole chains: a certificate whose status is unknown,
//! or whose list is past its `nextUpdate`, is refused. A CA without a list is not asked.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::pem;
use super::tls::TlsError;
use crate::config;
use crate::identity::{self, ClientIdentity, IdentityError, IdentityRules, TrustDomain};

/// All CAs whose clients may connect.
#[derive(Debug)]
pub(super) struct Authorities {
    all: Vec<Authority>,
    hints: Vec<DistinguishedName>,
    common_name: identity::CommonName,
    /// The earliest end of a CA's certificate.
    pub(super) not_after: Timestamp,
    /// The earliest `nextUpdate` of a revocation list.
    pub(super) next_update: Option<Timestamp>,
}

/// The CAs of one file, which speak for one trust domain.
#[derive(Debug)]
struct Authority {
    verifier: Arc<dyn ClientCertVerifier>,
    trust_domain: TrustDomain,
}

impl Authorities {
    /// Reads the files that `settings` names.
    pub(super) fn load(settings: &config::Tls, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut lists = Vec::new();
        for file in &settings.crls {
            for der in pem::revocation_lists(file)? {
                lists.push(RevocationList::read(file, &der)?);
            }
        }
        // webpki takes the first list of an issuer.
        lists.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        let mut loaded = Self {
            all: Vec::new(),
            hints: Vec::new(),
            common_name: settings.common_name,
            not_after: Timestamp::MAX,
            next_update: lists.iter().filter_map(|list| list.next_update).min(),
        };
        for ca in &settings.client_cas {
            loaded.add(ca, &mut lists, provider)?;
        }
        for list in lists.iter().filter(|list| !list.belongs) {
            tracing::warn!(
                file = list.file,
                issuer = list.issuer_name,
                "no client CA issued this revocation list: it counts only for an intermediate CA of this name"
            );
        }
        Ok(loaded)
    }

    fn add(
        &mut self,
        ca: &config::ClientCa,
        lists: &mut [RevocationList],
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), TlsError> {
        let mut roots = RootCertStore::empty();
        let mut subjects = Vec::new();
        for der in pem::certificates(&ca.file)? {
            let (subject, not_after) = read_ca(&ca.file, &der)?;
            self.not_after = self.not_after.min(not_after);
            subjects.push(subject);
            roots.add(der).map_err(|error| TlsError::Ca { file: ca.file.clone(), cause: error.to_string() })?;
        }
        self.hints.extend(roots.subjects());
        let mut answers = false;
        for list in lists.iter_mut().filter(|list| subjects.contains(&list.issuer)) {
            list.belongs = true;
            answers = true;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .with_crls(lists.iter().map(|list| list.der.clone()))
            .enforce_revocation_expiration();
        if !answers {
            builder = builder.allow_unknown_revocation_status();
        }
        let verifier =
            builder.build().map_err(|error| TlsError::Ca { file: ca.file.clone(), cause: error.to_string() })?;
        self.all.push(Authority { verifier, trust_domain: ca.trust_domain.clone() });
        Ok(())
    }

    /// Whom a verified chain names, by the rules of the CAs that vouch for it.
    pub(super) fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<ClientIdentity, IdentityError> {
        let (leaf, intermediates) =
            chain.split_first().ok_or_else(|| IdentityError::Malformed("there is none".to_owned()))?;
        let rules =
            IdentityRules { trust_domains: self.trust_domains(leaf, intermediates), common_name: self.common_name };
        ClientIdentity::from_certificate(leaf, &rules)
    }

    /// The trust domains of the CAs that vouch for a chain. The verifier cannot pass on which ones did, so where it
    /// matters they are asked again.
    fn trust_domains(&self, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Vec<TrustDomain> {
        let mut domains: Vec<_> = self.all.iter().map(|authority| &authority.trust_domain).collect();
        domains.sort();
        domains.dedup();
        if domains.len() > 1 {
            let now = UnixTime::now();
            let vouches = |domain: &TrustDomain| {
                let mut authorities = self.all.iter().filter(|authority| authority.trust_domain == *domain);
                authorities.any(|authority| authority.verifier.verify_client_cert(leaf, intermediates, now).is_ok())
            };
            domains.retain(|domain| vouches(domain));
        }
        domains.into_iter().cloned().collect()
    }
}

impl ClientCertVerifier for Authorities {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for authority in &self.all {
            match authority.verifier.verify_client_cert(leaf, intermediates, now) {
                Ok(verified) => return Ok(verified),
                // What the certificate's own CA has against it says more than that the others do not know it.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.all.first() {
            // All have the same provider.
            Some(authority) => authority.verifier.verify_tls13_signature(message, certificate, signature),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.all.first().map(|authority| authority.verifier.supported_verify_schemes()).unwrap_or_default()
    }
}

/// A revocation list, as far as it must be known to choose where it counts.
struct RevocationList {
    file: String,
    der: CertificateRevocationListDer<'static>,
    issuer: Vec<u8>,
    issuer_name: String,
    this_update: i64,
    next_update: Option<Timestamp>,
    /// Whether a client CA issued it.
    belongs: bool,
}

impl RevocationList {
    fn read(file: &Path, der: &CertificateRevocationListDer<'static>) -> Result<Self, TlsError> {
        let invalid = |cause: String| TlsError::RevocationList { file: file.to_owned(), cause };
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|error| invalid(error.to_string()))?;
        let next_update = list.next_update().map(|time| Timestamp::from_second(time.timestamp()));
        Ok(Self {
            file: file.display().to_string(),
            issuer: list.issuer().as_raw().to_vec(),
            issuer_name: list.issuer().to_string(),
            this_update: list.last_update().timestamp(),
            next_update: next_update.transpose().map_err(|error| invalid(error.to_string()))?,
            belongs: false,
            der: der.clone(),
        })
    }
}

/// The subject (DER) and the end of a certificate that must be a CA's.
fn read_ca(file: &Path, der: &CertificateDer<'_>) -> Result<(Vec<u8>, Timestamp), TlsError> {
    let invalid = |cause: String| TlsError::Ca { file: file.to_owned(), cause };
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| invalid(error.to_string()))?;
    if !certificate.is_ca() {
        return Err(invalid(format!("{} is no CA's certificate", certificate.subject())));
    }
    let not_after = identity::not_after(der).map_err(|error| invalid(error.to_string()))?;
    if not_after < Timestamp::now() {
        tracing::warn!(file = %file.display(), %not_after, "the client CA's certificate has expired");
    }
    Ok((certificate.subject().as_raw().to_vec(), not_after))
}
