//! Worlds: a client CA with its intermediates, their keys, and their revocation lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use fastrand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::constraints;

/// The deepest issuer: one more than the gateway takes.
pub(super) const LEVELS: usize = 6;

/// The kinds of keys.
pub(super) const KINDS: [&SignatureAlgorithm; 5] = [
    &rcgen::PKCS_ECDSA_P256_SHA256,
    &rcgen::PKCS_ECDSA_P384_SHA384,
    &rcgen::PKCS_ED25519,
    &rcgen::PKCS_RSA_SHA256,
    &rcgen::PKCS_ECDSA_P521_SHA512,
];
const RSA: usize = 3;

/// Key pairs. Those of RSA take long to make, so few serve many certificates.
pub(super) struct Keys {
    rsa: Vec<Arc<KeyPair>>,
    leaves: BTreeMap<usize, [Arc<KeyPair>; 2]>,
}

impl Keys {
    pub(super) fn new() -> Result<Self> {
        let make = |kind: usize| Ok(Arc::new(KeyPair::generate_for(KINDS[kind])?));
        let rsa = (0..LEVELS).map(|_| make(RSA)).collect::<Result<Vec<_>>>()?;
        let leaves = (0..KINDS.len()).map(|kind| Ok((kind, [make(kind)?, make(kind)?]))).collect::<Result<_>>()?;
        Ok(Self { rsa, leaves })
    }

    /// A key for a client: its own, or that of another.
    pub(super) fn leaf(&self, kind: usize, other: bool) -> Arc<KeyPair> {
        self.leaves[&kind][usize::from(other)].clone()
    }

    fn issuer(&self, kind: usize, level: usize) -> Result<Arc<KeyPair>> {
        if kind == RSA { Ok(self.rsa[level].clone()) } else { Ok(Arc::new(KeyPair::generate_for(KINDS[kind])?)) }
    }
}

/// The list of one issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Absent,
    Current,
    /// Past its `nextUpdate`.
    Ended,
    /// Before its `thisUpdate`.
    Future,
}

/// Of which certificates `openssl verify` asks the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    None,
    Leaf,
    All,
}

/// What is special about a world.
pub(super) struct Spec {
    pub(super) name: String,
    /// The common name of its CA.
    root: String,
    kind: usize,
    pub(super) lists: [List; LEVELS],
    pub(super) asked: Asked,
    pub(super) trust_domain: &'static str,
    /// Whether any fault may be tried in it.
    pub(super) is_ordinary: bool,
    edit: Box<dyn Fn(&mut CertificateParams)>,
}

impl Spec {
    fn new(name: &str, kind: usize) -> Self {
        Self {
            name: name.to_owned(),
            root: format!("{name} root"),
            kind,
            lists: [List::Absent; LEVELS],
            asked: Asked::None,
            trust_domain: "scalegate.test",
            is_ordinary: false,
            edit: Box::new(|_| {}),
        }
    }

    fn ordinary(mut self) -> Self {
        self.is_ordinary = true;
        self
    }

    fn listed(mut self, list: impl Fn(usize) -> List) -> Self {
        for (level, of_level) in self.lists.iter_mut().enumerate() {
            *of_level = list(level);
        }
        self.asked = Asked::All;
        self
    }

    fn edited(mut self, edit: impl Fn(&mut CertificateParams) + 'static) -> Self {
        self.edit = Box::new(edit);
        self
    }
}

/// All worlds that there are.
pub(super) fn specs() -> Vec<Spec> {
    let now = OffsetDateTime::now_utc();
    let mut specs = Vec::new();
    for (kind, name) in ["plain P-256", "plain P-384", "plain Ed25519", "plain RSA", "plain P-521"].iter().enumerate() {
        specs.push(Spec::new(name, kind).ordinary());
    }
    for (kind, name) in ["listed P-256", "listed P-384", "listed Ed25519", "listed RSA"].iter().enumerate() {
        specs.push(Spec::new(name, kind).ordinary().listed(|_| List::Current));
    }
    for at in 0..LEVELS - 1 {
        let current_but = move |list| move |level| if level == at { list } else { List::Current };
        specs.push(Spec::new(&format!("ended list {at}"), 0).listed(current_but(List::Ended)));
        specs.push(Spec::new(&format!("future list {at}"), 0).listed(current_but(List::Future)));
        specs.push(Spec::new(&format!("missing list {at}"), 0).listed(current_but(List::Absent)));
    }
    let only_below = |level| if level == 0 { List::Absent } else { List::Current };
    specs.push(Spec { asked: Asked::Leaf, ..Spec::new("listed below", 0).listed(only_below) });
    let of_one_name = |name: &str, kind| Spec { root: "namesakes root".to_owned(), ..Spec::new(name, kind) };
    specs.push(of_one_name("listed namesake", 0).listed(|_| List::Current));
    specs.push(of_one_name("unlisted namesake", 2));
    specs.push(Spec { trust_domain: "other.test", ..Spec::new("other domain", 0) });

    let mut root = |name: &str, edit: Box<dyn Fn(&mut CertificateParams)>| {
        specs.push(Spec { edit, ..Spec::new(name, 0) });
    };
    root("ended root", Box::new(move |params| params.not_after = now - Duration::HOUR));
    root("future root", Box::new(move |params| params.not_before = now + Duration::HOUR));
    root("root of 1950", Box::new(|params| params.not_before = rcgen::date_time_ymd(1950, 1, 1)));
    root("root of 9999", Box::new(|params| params.not_after = rcgen::date_time_ymd(9999, 12, 31)));
    for length in 0..2 {
        let constrained = IsCa::Ca(BasicConstraints::Constrained(length));
        root(&format!("root of length {length}"), Box::new(move |params| params.is_ca = constrained));
    }
    let for_servers = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    root("root for servers", Box::new(move |params| params.extended_key_usages.clone_from(&for_servers)));
    root("root without keyCertSign", Box::new(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]));
    root("critical root", Box::new(|params| params.custom_extensions.push(super::draft::unknown_extension(true))));
    for constraint in constraints::all() {
        let extension = constraint.extension();
        let spec = Spec::new(&constraint.world(), 0);
        specs.push(spec.edited(move |params| params.custom_extensions.push(extension.clone())));
    }
    specs
}

/// A client CA and everything below it.
pub(super) struct World {
    pub(super) spec: Spec,
    pub(super) root: CertificateDer<'static>,
    keys: Vec<Arc<KeyPair>>,
    names: Vec<CertificateParams>,
    revoked: Vec<Vec<SerialNumber>>,
}

/// A subject.
pub(super) fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Chains");
    name.push(DnType::CommonName, common_name);
    name
}

impl World {
    pub(super) fn new(spec: Spec, keys: &Keys, rng: &mut Rng) -> Result<Self> {
        let mut names = Vec::new();
        let mut own = Vec::new();
        for level in 0..LEVELS {
            let kind = if level == 0 { spec.kind } else { rng.usize(..KINDS.len()) };
            own.push(keys.issuer(kind, level)?);
            let name = if level == 0 { spec.root.clone() } else { format!("{} level {level}", spec.name) };
            let mut params = CertificateParams::default();
            params.distinguished_name = named(&name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.serial_number = Some(serial(rng));
            names.push(params);
        }
        let mut root = names[0].clone();
        let now = OffsetDateTime::now_utc();
        (root.not_before, root.not_after) = (now - Duration::days(400), now + Duration::days(4000));
        (spec.edit)(&mut root);
        let root = root.self_signed(&*own[0]).with_context(|| spec.name.clone())?.der().clone();
        Ok(Self { spec, root, keys: own, names, revoked: vec![Vec::new(); LEVELS] })
    }

    /// What a certificate of an issuer says by default.
    pub(super) fn params(&self, level: usize) -> &CertificateParams {
        &self.names[level]
    }

    pub(super) fn key(&self, level: usize) -> Arc<KeyPair> {
        self.keys[level].clone()
    }

    /// Puts a serial number on the list of an issuer.
    pub(super) fn revoke(&mut self, level: usize, serial: SerialNumber) {
        self.revoked[level].push(serial);
    }

    /// The lists, PEM.
    pub(super) fn lists(&self) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let mut text = String::new();
        for (level, list) in self.spec.lists.iter().enumerate() {
            let (this_update, next_update) = match list {
                List::Absent => continue,
                List::Current => (now - Duration::HOUR, now + Duration::days(30)),
                List::Ended => (now - Duration::days(10), now - Duration::days(1)),
                List::Future => (now + Duration::days(1), now + Duration::days(30)),
            };
            let revoked = |serial: &SerialNumber| RevokedCertParams {
                serial_number: serial.clone(),
                revocation_time: now - Duration::days(2),
                reason_code: None,
                invalidity_date: None,
            };
            let list = CertificateRevocationListParams {
                this_update,
                next_update,
                crl_number: 1_u64.into(),
                issuing_distribution_point: None,
                revoked_certs: self.revoked[level].iter().map(revoked).collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            text += &list.signed_by(&Issuer::from_params(&self.names[level], &*self.keys[level]))?.pem()?;
        }
        Ok(text)
    }
}

/// A serial number of 16 bytes that is positive.
pub(super) fn serial(rng: &mut Rng) -> SerialNumber {
    let mut bytes = rng.u128(..).to_be_bytes();
    bytes[0] = bytes[0] & 0x3f | 0x40;
    bytes.to_vec().into()
}

impl World {
    /// The name of an issuer in capitals, which is the same name by RFC 5280, section 7.1.
    pub(super) fn name_in_capitals(&self, level: usize) -> DistinguishedName {
        let name = self.names[level].distinguished_name.get(&DnType::CommonName);
        match name {
            Some(rcgen::DnValue::Utf8String(name)) => named(&name.to_uppercase()),
            _ => named("NOBODY"),
        }
    }
}
