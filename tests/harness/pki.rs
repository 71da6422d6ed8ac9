//! The certificates of one control plane: an authority that lives as long as the harness, and what it signs.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// How long all certificates are valid: longer than anyone leaves a development cluster running.
const LIFETIME: Duration = Duration::days(90);

/// A certificate and its private key as PEM files.
#[derive(Debug, Clone)]
pub struct KeyedCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key, readable by its owner alone.
    pub key: PathBuf,
}

/// A certificate authority that writes what it signs to one directory. Its own key is in no file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    /// Makes a new authority and writes its certificate to `ca.pem` in `directory`.
    pub fn create(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let mut params = params("scalegate development control plane", None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Self { issuer, directory: directory.to_owned() };
        std::fs::write(authority.certificate(), authority.issuer.pem()).context("write the authority's certificate")?;
        Ok(authority)
    }

    /// Where the authority's certificate is.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The authority's certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a certificate for a server that is reached under `names`, DNS names or IP addresses.
    pub fn server(&self, file: &str, names: &[&str]) -> Result<KeyedCertificate> {
        let mut params = params(file, None)?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        // etcd's server is also its own gateway's client, under the same certificate.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, &params)
    }

    /// Signs a certificate for the Kubernetes user `user` in `group`.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> Result<KeyedCertificate> {
        let mut params = params(user, group)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(file, &params)
    }

    fn sign(&self, file: &str, params: &CertificateParams) -> Result<KeyedCertificate> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let paths = KeyedCertificate {
            certificate: self.directory.join(format!("{file}.pem")),
            key: self.directory.join(format!("{file}-key.pem")),
        };
        std::fs::write(&paths.certificate, certificate.pem()).with_context(|| format!("write {file}.pem"))?;
        write_private(&paths.key, &key.serialize_pem())?;
        Ok(paths)
    }
}

/// Makes the key pair that signs service account tokens: the files of its private and its public half.
pub fn service_account_keys(directory: &Path) -> Result<(PathBuf, PathBuf)> {
    let key = KeyPair::generate()?;
    let (private, public) = (directory.join("service-account-key.pem"), directory.join("service-account-public.pem"));
    write_private(&private, &key.serialize_pem())?;
    std::fs::write(&public, key.public_key_pem()).context("write the service account key")?;
    Ok((private, public))
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}

fn params(common_name: &str, organization: Option<&str>) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::MINUTE;
    params.not_after = now.checked_add(LIFETIME).context("the certificates' end is out of range")?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
