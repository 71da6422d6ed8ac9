//! The names in a certificate, and which of them counts.

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::AttributeTypeAndValue;

use super::text::{excerpt, plain};
use super::{IdForm, IdentityError, InvalidText, MAX_GROUPS, TrustDomain, Voucher, spiffe};
use crate::dns;

/// Refuses a certificate whose extended key usage does not name client authentication.
///
/// webpki lets a certificate without the extension pass; here it must be present, so that a certificate that was
/// issued for any use is not taken for a client's.
pub(super) fn require_client_auth(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    match certificate.extended_key_usage().map_err(malformed)? {
        Some(usage) if usage.value.client_auth => Ok(()),
        _ => Err(IdentityError::NotForClients),
    }
}

/// The one typed id that the certificate stands for, and its trust domain.
pub(super) fn client_id(
    certificate: &X509Certificate<'_>,
    vouchers: &[Voucher],
) -> Result<(String, TrustDomain), IdentityError> {
    let names = AlternativeNames::of(certificate)?;
    match (names.uris.as_slice(), names.dns.as_slice()) {
        ([uri], _) => spiffe_id(uri, vouchers),
        ([], [name]) => dns_id(name, vouchers),
        ([], []) => common_name_id(certificate, vouchers),
        ([], names) => Err(IdentityError::ManyDnsNames(names.len())),
        (uris, _) => Err(IdentityError::ManyUris(uris.len())),
    }
}

/// The one typed id that the certificate would stand for if its CA might issue it, and the trust domain of a SPIFFE id.
pub(super) fn claimed_id(certificate: &X509Certificate<'_>) -> Result<(String, Option<TrustDomain>), IdentityError> {
    let names = AlternativeNames::of(certificate)?;
    match (names.uris.as_slice(), names.dns.as_slice()) {
        ([uri], _) => {
            let domain = spiffe::trust_domain_of(uri);
            let domain = domain.map_err(|cause| IdentityError::NotSpiffe { uri: excerpt(uri), cause })?;
            Ok((format!("uri:{uri}"), Some(domain)))
        }
        ([], [name]) => Ok((dns_name_id(name)?, None)),
        ([], []) => Ok((only_common_name_id(certificate)?, None)),
        ([], names) => Err(IdentityError::ManyDnsNames(names.len())),
        (uris, _) => Err(IdentityError::ManyUris(uris.len())),
    }
}

/// The subject's organizations.
pub(super) fn groups(certificate: &X509Certificate<'_>) -> Result<Vec<String>, IdentityError> {
    let count = certificate.subject().iter_organization().count();
    if count > MAX_GROUPS {
        return Err(IdentityError::ManyGroups(count));
    }
    let organizations = certificate.subject().iter_organization();
    organizations.map(|organization| text("organization (O)", organization).map(str::to_owned)).collect()
}

/// The subject alternative names that can identify a client; addresses cannot.
#[derive(Default)]
struct AlternativeNames<'a> {
    uris: Vec<&'a str>,
    dns: Vec<&'a str>,
}

impl<'a> AlternativeNames<'a> {
    fn of(certificate: &'a X509Certificate<'_>) -> Result<Self, IdentityError> {
        let mut names = Self::default();
        let Some(extension) = certificate.subject_alternative_name().map_err(malformed)? else { return Ok(names) };
        for name in &extension.value.general_names {
            match name {
                GeneralName::URI(uri) => names.uris.push(uri),
                GeneralName::DNSName(name) => names.dns.push(name),
                // A name that cannot be read could be a second one of those that count.
                GeneralName::Invalid(..) => {
                    return Err(IdentityError::Malformed("a subject alternative name cannot be read".to_owned()));
                }
                _ => {}
            }
        }
        Ok(names)
    }
}

fn spiffe_id(uri: &str, vouchers: &[Voucher]) -> Result<(String, TrustDomain), IdentityError> {
    let domain = spiffe::trust_domain_of(uri).map_err(|cause| IdentityError::NotSpiffe { uri: excerpt(uri), cause })?;
    let mut of_domain = vouchers.iter().filter(|voucher| voucher.trust_domain == domain).peekable();
    if of_domain.peek().is_none() {
        let allowed = vouchers.iter().map(|voucher| voucher.trust_domain.clone()).collect();
        return Err(IdentityError::ForeignTrustDomain { found: domain, allowed });
    }
    if !of_domain.any(|voucher| voucher.forms.contains(&IdForm::Uri)) {
        return Err(IdentityError::ForeignForm { form: IdForm::Uri });
    }
    Ok((format!("uri:{uri}"), domain))
}

/// The id that `text` means, as a certificate would give it; `None` where no certificate can.
pub(crate) fn normal_id(text: &str) -> Option<String> {
    let (form, name) = text.split_once(':')?;
    match form {
        "uri" => spiffe::trust_domain_of(name).is_ok().then(|| text.to_owned()),
        "dns" => {
            Some(name.to_ascii_lowercase()).filter(|name| dns::is_subdomain(name)).map(|name| format!("dns:{name}"))
        }
        "cn" => plain(name).is_ok().then(|| text.to_owned()),
        _ => None,
    }
}

fn dns_id(name: &str, vouchers: &[Voucher]) -> Result<(String, TrustDomain), IdentityError> {
    Ok((dns_name_id(name)?, trust_domain(vouchers, IdForm::Dns)?))
}

fn dns_name_id(name: &str) -> Result<String, IdentityError> {
    let lower = name.to_ascii_lowercase();
    if !dns::is_subdomain(&lower) {
        return Err(IdentityError::InvalidDnsName(excerpt(name)));
    }
    Ok(format!("dns:{lower}"))
}

fn common_name_id(
    certificate: &X509Certificate<'_>,
    vouchers: &[Voucher],
) -> Result<(String, TrustDomain), IdentityError> {
    if !vouchers.iter().any(|voucher| voucher.forms.contains(&IdForm::Cn)) {
        return Err(IdentityError::NoName);
    }
    Ok((only_common_name_id(certificate)?, trust_domain(vouchers, IdForm::Cn)?))
}

fn only_common_name_id(certificate: &X509Certificate<'_>) -> Result<String, IdentityError> {
    let names: Vec<_> = certificate.subject().iter_common_name().collect();
    match names.as_slice() {
        [name] => Ok(format!("cn:{}", text("common name (CN)", name)?)),
        names => Err(IdentityError::CommonNames(names.len())),
    }
}

/// The trust domain of the CAs that may vouch for a name of `form`, which does not name its own.
fn trust_domain(vouchers: &[Voucher], form: IdForm) -> Result<TrustDomain, IdentityError> {
    let may = vouchers.iter().filter(|voucher| voucher.forms.contains(&form));
    let domains: BTreeSet<_> = may.map(|voucher| &voucher.trust_domain).collect();
    let mut domains: Vec<_> = domains.into_iter().cloned().collect();
    match domains.len() {
        0 => Err(IdentityError::ForeignForm { form }),
        1 => Ok(domains.remove(0)),
        _ => Err(IdentityError::ManyTrustDomains { domains }),
    }
}

fn text<'a>(part: &'static str, attribute: &AttributeTypeAndValue<'a>) -> Result<&'a str, IdentityError> {
    let invalid = |cause| IdentityError::InvalidText { part, cause };
    attribute.as_str().map_err(|_| invalid(InvalidText::Encoding)).and_then(|text| plain(text).map_err(invalid))
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn malformed(error: X509Error) -> IdentityError {
    IdentityError::Malformed(error.to_string())
}
