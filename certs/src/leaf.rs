//! What a certificate is to hold.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType,
};

use crate::{CertError, Serial, Validity};

/// How long leaves hold, in days.
pub const LEAF_DAYS: u32 = 90;

/// What a key may be used for (RFC 5280, section 4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be a TLS client.
    ClientAuth,
    /// To be a TLS server.
    ServerAuth,
}

/// Who or what a certificate speaks of. Any combination can be made, also those that a gateway must refuse.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The subject's common name; none at all where it is absent.
    pub common_name: Option<String>,
    /// The subject's organizations, which scalegate reads as groups. Two at most.
    pub organizations: Vec<String>,
    /// URI alternative names.
    pub uris: Vec<String>,
    /// DNS alternative names.
    pub dns: Vec<String>,
    /// IP address alternative names.
    pub ips: Vec<IpAddr>,
    /// The extended key usages; without any, the extension is left out.
    pub purposes: Vec<Purpose>,
    /// Whether the certificate claims to be an authority.
    pub is_ca: bool,
}

/// A certificate that can be issued: a [`Profile`] and when it holds.
#[derive(Debug, Clone)]
pub struct LeafSpec {
    /// Who or what it speaks of.
    pub profile: Profile,
    /// When it holds.
    pub validity: Validity,
}

impl LeafSpec {
    /// A client certificate with a common name and nothing else yet, for [`LEAF_DAYS`] days.
    pub fn client(common_name: &str) -> Self {
        Self::new(common_name, Purpose::ClientAuth)
    }

    /// A server certificate with a common name and nothing else yet, for [`LEAF_DAYS`] days.
    pub fn server(common_name: &str) -> Self {
        Self::new(common_name, Purpose::ServerAuth)
    }

    fn new(common_name: &str, purpose: Purpose) -> Self {
        let profile =
            Profile { common_name: Some(common_name.to_owned()), purposes: vec![purpose], ..Profile::default() };
        Self { profile, validity: Validity::days(LEAF_DAYS) }
    }

    /// Adds a URI alternative name.
    #[must_use]
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.profile.uris.push(uri.into());
        self
    }

    /// Adds a DNS alternative name.
    #[must_use]
    pub fn dns(mut self, name: impl Into<String>) -> Self {
        self.profile.dns.push(name.into());
        self
    }

    /// Adds an IP address alternative name.
    #[must_use]
    pub fn ip(mut self, address: IpAddr) -> Self {
        self.profile.ips.push(address);
        self
    }

    /// Adds an organization to the subject. More than two are refused when the certificate is issued.
    #[must_use]
    pub fn organization(mut self, name: impl Into<String>) -> Self {
        self.profile.organizations.push(name.into());
        self
    }

    /// Sets or removes the common name.
    #[must_use]
    pub fn common_name(mut self, name: Option<&str>) -> Self {
        self.profile.common_name = name.map(str::to_owned);
        self
    }

    /// Replaces the extended key usages; none leaves the extension out.
    #[must_use]
    pub fn purposes(mut self, purposes: impl IntoIterator<Item = Purpose>) -> Self {
        self.profile.purposes = purposes.into_iter().collect();
        self
    }

    /// Makes the certificate claim to be an authority.
    #[must_use]
    pub fn authority(mut self) -> Self {
        self.profile.is_ca = true;
        self
    }

    /// Replaces when the certificate holds.
    #[must_use]
    pub fn validity(mut self, validity: Validity) -> Self {
        self.validity = validity;
        self
    }

    pub(crate) fn params(&self, serial: &Serial) -> Result<CertificateParams, CertError> {
        let mut params = CertificateParams::default();
        params.not_before = self.validity.not_before;
        params.not_after = self.validity.not_after;
        params.serial_number = Some(serial.as_bytes().to_vec().into());
        params.distinguished_name = self.profile.subject()?;
        params.subject_alt_names = self.profile.alternative_names()?;
        params.extended_key_usages = self.profile.purposes.iter().copied().map(Into::into).collect();
        params.use_authority_key_identifier_extension = true;
        (params.is_ca, params.key_usages) = if self.profile.is_ca {
            (IsCa::Ca(BasicConstraints::Constrained(0)), vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign])
        } else {
            // Explicitly none: that also writes the subject key identifier.
            (IsCa::ExplicitNoCa, vec![KeyUsagePurpose::DigitalSignature])
        };
        Ok(params)
    }
}

impl Profile {
    fn subject(&self) -> Result<DistinguishedName, CertError> {
        // rcgen keeps one value for each attribute type; its two ways to name a type hold two.
        let organization = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        if self.organizations.len() > organization.len() {
            return Err(CertError::TooManyOrganizations(self.organizations.len()));
        }
        let mut subject = DistinguishedName::new();
        for (attribute, name) in organization.into_iter().zip(&self.organizations) {
            subject.push(attribute, name.as_str());
        }
        if let Some(name) = &self.common_name {
            subject.push(DnType::CommonName, name.as_str());
        }
        Ok(subject)
    }

    fn alternative_names(&self) -> Result<Vec<SanType>, CertError> {
        let name =
            |text: &String| text.as_str().try_into().map_err(|source| CertError::Name { name: text.clone(), source });
        let uris = self.uris.iter().map(|uri| Ok(SanType::URI(name(uri)?)));
        let dns = self.dns.iter().map(|dns| Ok(SanType::DnsName(name(dns)?)));
        let ips = self.ips.iter().map(|ip| Ok(SanType::IpAddress(*ip)));
        uris.chain(dns).chain(ips).collect()
    }
}

impl From<Purpose> for ExtendedKeyUsagePurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::ClientAuth => Self::ClientAuth,
            Purpose::ServerAuth => Self::ServerAuth,
        }
    }
}
