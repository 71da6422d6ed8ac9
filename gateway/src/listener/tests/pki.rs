//! Certificates for the tests of this module, on disk where the listener reads them.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;

use crate::config;
use crate::identity::{IdForm, Voucher};

/// A CA.
pub(super) struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    /// A CA with what `change` makes of it.
    pub(super) fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(Self::params(name, change), key).unwrap())
    }

    /// A CA with this key.
    pub(super) fn with_key(name: &str, key: KeyPair) -> Self {
        Self(CertifiedIssuer::self_signed(Self::params(name, |_| {}), key).unwrap())
    }

    /// The same CA with another certificate: of the same name and key.
    pub(super) fn renewed(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::from_pem(&self.0.key().serialize_pem()).unwrap();
        Self(CertifiedIssuer::self_signed(Self::params(name, change), key).unwrap())
    }

    /// A CA whose certificate this one issues.
    pub(super) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(Self::params(name, change), key, &self.0).unwrap())
    }

    fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        params
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Credentials {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(1_u64));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Credentials { certificate, key: key.serialize_pem() }
    }

    pub(super) fn server(&self) -> Credentials {
        self.server_with(|_| {})
    }

    /// A server's certificate with what `change` makes of it.
    pub(super) fn server_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Credentials {
        self.issue(|params| {
            params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            change(params);
        })
    }

    /// A client with one URI each, and what `change` makes of it.
    pub(super) fn client(&self, uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Credentials {
        self.issue(|params| {
            params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            change(params);
        })
    }

    /// A revocation list of `serials`, the first of this CA, that is good until the year `until`.
    pub(super) fn revocation_list(&self, serials: &[u64], until: i32) -> String {
        self.numbered_list(1, 2000..until, serials)
    }

    /// A revocation list of `serials`, good from the one year to the other.
    pub(super) fn numbered_list(&self, number: u64, years: Range<i32>, serials: &[u64]) -> String {
        self.list(KeyIdMethod::Sha256, number, new_year(years), serials)
    }

    /// A revocation list, the first of this CA, that is good until `until`.
    pub(super) fn list_until(&self, until: OffsetDateTime, serials: &[u64]) -> String {
        self.list(KeyIdMethod::Sha256, 1, rcgen::date_time_ymd(2000, 1, 1)..until, serials)
    }

    /// A list that says to be signed by this CA's key, and is signed by another's of its name.
    pub(super) fn forged_list(&self, forger: &Self, number: u64, years: Range<i32>) -> String {
        let genuine = self.numbered_list(1, years.clone(), &[]);
        let (_, genuine) = x509_parser::pem::parse_x509_pem(genuine.as_bytes()).unwrap();
        let (_, genuine) = x509_parser::parse_x509_crl(&genuine.contents).unwrap();
        let key_id = genuine.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority.key_identifier.as_ref()?.0.to_vec()),
            _ => None,
        });
        forger.list(KeyIdMethod::PreSpecified(key_id.unwrap()), number, new_year(years), &[])
    }

    fn list(
        &self,
        key_identifier_method: KeyIdMethod,
        number: u64,
        good: Range<OffsetDateTime>,
        serials: &[u64],
    ) -> String {
        let params = CertificateRevocationListParams {
            this_update: good.start,
            next_update: good.end,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(*serial),
                    revocation_time: rcgen::date_time_ymd(2000, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

fn new_year(years: Range<i32>) -> Range<OffsetDateTime> {
    rcgen::date_time_ymd(years.start, 1, 1)..rcgen::date_time_ymd(years.end, 1, 1)
}

/// The gateway's files and the CA that signed all of them.
pub(super) struct Pki {
    pub(super) ca: Ca,
    directory: TempDir,
    pub(super) settings: config::Tls,
}

impl Pki {
    pub(super) fn new() -> Self {
        let ca = Ca::new("test CA");
        let server = ca.server();
        let settings = config::Tls {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_cas: Vec::new(),
            crls: Vec::new(),
            denied: None,
            reload_interval: Duration::from_mins(5),
        };
        let mut pki = Self { ca, directory: TempDir::new().unwrap(), settings };
        pki.settings.certificate = pki.write("server.pem", &server.certificate);
        pki.settings.key = pki.write("server-key.pem", &server.key);
        let own = pki.ca.pem();
        pki.trust("ca.pem", &own, "example.org");
        pki
    }

    /// Where a file of this name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Lays the files out as the kubelet does those of a mounted Secret: `ca.pem -> ..data/ca.pem`, `..data -> ..1`.
    pub(super) fn mount(&self) {
        let root = self.directory.path();
        let names: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        fs::create_dir(root.join("..1")).unwrap();
        for name in names {
            fs::rename(root.join(&name), root.join("..1").join(&name)).unwrap();
            symlink(Path::new("..data").join(&name), root.join(&name)).unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
    }

    /// Swaps the mounted files for a copy in which `changes` stand for the files of these names, or for their absence.
    pub(super) fn swap(&self, changes: &[(&str, Option<&str>)]) {
        let root = self.directory.path();
        let old = fs::read_link(root.join("..data")).unwrap();
        let number: u32 = old.to_str().unwrap().trim_start_matches('.').parse().unwrap();
        let new = format!("..{}", number + 1);
        fs::create_dir(root.join(&new)).unwrap();
        for entry in fs::read_dir(root.join(&old)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), root.join(&new).join(entry.file_name())).unwrap();
        }
        for (name, content) in changes {
            let file = root.join(&new).join(name);
            match content {
                Some(content) => fs::write(file, content).unwrap(),
                None => fs::remove_file(file).unwrap(),
            }
        }
        symlink(&new, root.join("..tmp")).unwrap();
        fs::rename(root.join("..tmp"), root.join("..data")).unwrap();
    }

    /// What a mounted file holds.
    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    pub(super) fn trust(&mut self, name: &str, pem: &str, trust_domain: &str) {
        let file = self.write(name, pem);
        let voucher = Voucher { trust_domain: trust_domain.parse().unwrap(), forms: [IdForm::Uri, IdForm::Dns].into() };
        self.settings.client_cas.push(config::ClientCa { file, voucher });
    }

    pub(super) fn revoke(&mut self, name: &str, list: &str) {
        let file = self.write(name, list);
        self.settings.crls.push(file);
    }

    /// The client that every test but those about certificates uses.
    pub(super) fn ci(&self) -> Credentials {
        self.ca.client(&["spiffe://example.org/ci"], |_| {})
    }

    /// The TLS side of a client that shows `credentials`, or no certificate.
    pub(super) fn client(&self, credentials: Option<&Credentials>, alpn: &str) -> Arc<ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match credentials {
            None => builder.with_no_client_auth(),
            Some(credentials) => {
                let chain = CertificateDer::pem_slice_iter(credentials.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        Arc::new(config)
    }
}

/// Limits that no test meets by accident.
pub(super) fn limits() -> config::Listen {
    const LONG: Duration = Duration::from_mins(5);
    config::Listen {
        address: ([127, 0, 0, 1], 0).into(),
        max_connections: 100,
        max_connections_per_client: 100,
        max_requests: 100,
        max_requests_per_client: 100,
        max_requests_per_second_per_client: 0,
        max_streams: 100,
        max_streams_per_client: 100,
        handshake_timeout: LONG,
        header_timeout: LONG,
        idle_timeout: LONG,
        max_connection_age: Duration::from_hours(1),
        write_timeout: LONG,
        request_timeout: LONG,
        max_body_bytes: 65_536,
        drain: config::Drain { grace: Duration::ZERO, deadline: LONG },
    }
}
