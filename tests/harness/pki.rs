//! The certificates that the parts of a control plane show one another.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// A certificate authority that keeps its files in one directory.
pub struct Pki {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub ca: PathBuf,
}

/// A certificate and its key.
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Pki {
    /// A new authority under `directory`.
    pub fn new(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut params = params("control plane CA", None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let ca = directory.join("ca.crt");
        std::fs::write(&ca, certificate.pem())?;
        Ok(Self { directory: directory.to_owned(), issuer: Issuer::new(params, key), ca })
    }

    /// A client certificate for the user `name`, in `group`.
    pub fn client(&self, file: &str, name: &str, group: Option<&str>) -> Result<Pair> {
        let mut params = params(name, group)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(file, &params)
    }

    /// A certificate for the API server.
    pub fn server(&self, file: &str) -> Result<Pair> {
        let mut params =
            CertificateParams::new(["127.0.0.1", "localhost", "kubernetes.default.svc"].map(String::from))?;
        validity(&mut params);
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(file, &params)
    }

    /// A key pair without a certificate: the private key, then the public one.
    pub fn bare_keys(&self, file: &str) -> Result<Pair> {
        let key = KeyPair::generate()?;
        self.write(file, "pub", &key.public_key_pem(), &key)
    }

    fn issue(&self, file: &str, params: &CertificateParams) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(file, "crt", &certificate.pem(), &key)
    }

    fn write(&self, file: &str, extension: &str, public: &str, key: &KeyPair) -> Result<Pair> {
        let pair = Pair {
            certificate: self.directory.join(format!("{file}.{extension}")),
            key: self.directory.join(format!("{file}.key")),
        };
        std::fs::write(&pair.certificate, public)?;
        std::fs::write(&pair.key, key.serialize_pem())?;
        Ok(pair)
    }
}

fn params(name: &str, group: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    validity(&mut params);
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    Ok(params)
}

fn validity(params: &mut CertificateParams) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(30);
}
