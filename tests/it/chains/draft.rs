//! Chains before they are signed: what each certificate says, who signs it, and what the client sends.

use std::sync::Arc;

use anyhow::{Context, Result};
use fastrand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::der;
use super::world::{KINDS, Keys, World, named, serial};

/// Who signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// The issuer that it names.
    Issuer,
    /// Another of the issuer's name.
    Namesake,
    /// Another, by its own name.
    Other,
    /// The issuer, whose name is written in capitals.
    InCapitals,
    /// The certificate's own key, under its own name.
    Itself,
}

/// What becomes of a certificate after it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoilt {
    No,
    /// One bit of the signature is changed.
    Signature,
    /// One bit of the serial number is changed.
    Content,
    /// It claims to be of version 2, and is signed again.
    Version2,
    /// Its serial number is negative, and it is signed again.
    NegativeSerial,
    /// A byte follows it.
    Longer,
    /// Its last byte is missing.
    Shorter,
}

/// What a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// The intermediates from the CA down.
    Reversed,
    Without(usize),
    /// The client CA too.
    WithRoot,
    Twice(usize),
    /// The client's own certificate again, among the intermediates.
    LeafAgain,
    /// So many certificates of another CA behind them, or in front.
    With(usize),
    Behind(usize),
}

/// A certificate of a chain.
#[derive(Clone)]
pub(super) struct Piece {
    pub(super) params: CertificateParams,
    pub(super) signer: Signer,
    pub(super) spoilt: Spoilt,
}

/// A chain.
#[derive(Clone)]
pub(super) struct Draft {
    /// The place of its world.
    pub(super) world: usize,
    /// The client's certificate, then its issuer's, and so on.
    pub(super) pieces: Vec<Piece>,
    pub(super) sent: Sent,
    /// The kind of the client's key.
    pub(super) kind: usize,
    /// Whether the client signs with a key that is not its certificate's.
    pub(super) wrong_key: bool,
    /// Serial numbers to revoke: by which issuer of which world.
    pub(super) revoked: Vec<(Revoker, usize, SerialNumber)>,
}

/// Whose list names a serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoker {
    Own,
    World(&'static str),
}

/// A chain that can be shown.
pub(super) struct Issued {
    /// What the client sends, its own certificate first.
    pub(super) sent: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<KeyPair>,
}

/// An extension that nobody knows.
pub(super) fn unknown_extension(critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
    extension.set_criticality(critical);
    extension
}

/// A client's SPIFFE id.
pub(super) fn spiffe(id: &str) -> SanType {
    SanType::URI(id.try_into().expect("an ASCII id"))
}

impl Draft {
    /// A good chain below the CA of `world`, with `depth` intermediates. What may vary does.
    pub(super) fn good(place: usize, world: &World, depth: usize, number: usize, rng: &mut Rng) -> Self {
        let mut pieces = vec![Piece::signed(leaf(world, number, rng))];
        for level in (1..=depth).rev() {
            let mut params = world.params(level).clone();
            intermediate(&mut params, depth - level, rng);
            pieces.push(Piece::signed(params));
        }
        let kind = rng.usize(..KINDS.len());
        Self { world: place, pieces, sent: Sent::All, kind, wrong_key: false, revoked: Vec::new() }
    }

    /// How many intermediates there are.
    pub(super) fn depth(&self) -> usize {
        self.pieces.len() - 1
    }

    pub(super) fn leaf(&mut self) -> &mut CertificateParams {
        &mut self.pieces[0].params
    }

    pub(super) fn params(&mut self, at: usize) -> &mut CertificateParams {
        &mut self.pieces[at].params
    }

    /// The level of the issuer of the certificate at `at`.
    pub(super) fn issuer_level(&self, at: usize) -> usize {
        self.depth() - at
    }

    /// Has the certificate at `at` revoked, under a serial number that no other has.
    pub(super) fn revoke(&mut self, at: usize, revoker: Revoker) {
        let level = self.issuer_level(at);
        let mut serial =
            self.pieces[at].params.serial_number.clone().map(|serial| serial.to_bytes()).unwrap_or_default();
        if let Some(first) = serial.first_mut() {
            *first ^= 0x20;
        }
        self.pieces[at].params.serial_number = Some(serial.clone().into());
        self.revoked.push((revoker, level, serial.into()));
    }

    /// Signs the chain.
    pub(super) fn issue(&self, worlds: &[World], keys: &Keys) -> Result<Issued> {
        let world = &worlds[self.world];
        let leaf_key = keys.leaf(self.kind, false);
        let mut chain = Vec::new();
        for (at, piece) in self.pieces.iter().enumerate() {
            let own = if at == 0 { leaf_key.clone() } else { world.key(self.issuer_level(at) + 1) };
            chain.push(piece.issue(world, self.issuer_level(at), &own, keys).with_context(|| format!("piece {at}"))?);
        }
        let (leaf, above) = chain.split_first().context("no leaf")?;
        let mut above = above.to_vec();
        let other = &worlds[usize::from(self.world == 0)];
        let foreign = |count: usize| (0..count).map(|level| other.intermediate(level)).collect::<Result<Vec<_>>>();
        match self.sent {
            Sent::All => {}
            Sent::Reversed => above.reverse(),
            Sent::Without(at) => drop(above.remove(at - 1)),
            Sent::WithRoot => above.push(world.root.clone()),
            Sent::Twice(at) => above.push(above[at - 1].clone()),
            Sent::LeafAgain => above.insert(0, leaf.clone()),
            Sent::With(count) => above.extend(foreign(count)?),
            Sent::Behind(count) => drop(above.splice(0..0, foreign(count)?)),
        }
        let key = if self.wrong_key { keys.leaf(self.kind, true) } else { leaf_key };
        Ok(Issued { sent: [std::slice::from_ref(leaf), &above].concat(), key })
    }
}

impl World {
    /// An intermediate, for chains that it does not belong to.
    fn intermediate(&self, level: usize) -> Result<CertificateDer<'static>> {
        let params = self.params(level + 1);
        let (key, own) = (self.key(level), self.key(level + 1));
        Ok(params.signed_by(&*own, &Issuer::from_params(self.params(level), &*key))?.der().clone())
    }
}

impl Piece {
    fn signed(params: CertificateParams) -> Self {
        Self { params, signer: Signer::Issuer, spoilt: Spoilt::No }
    }

    fn issue(&self, world: &World, level: usize, own: &KeyPair, keys: &Keys) -> Result<CertificateDer<'static>> {
        let mut issuer = world.params(level).clone();
        let key = match self.signer {
            Signer::Issuer => world.key(level),
            Signer::Namesake => keys.leaf(0, true),
            Signer::Other => {
                issuer.distinguished_name = named("nobody");
                keys.leaf(0, true)
            }
            Signer::InCapitals => {
                issuer.distinguished_name = world.name_in_capitals(level);
                world.key(level)
            }
            Signer::Itself => return Ok(self.params.self_signed(own)?.der().clone()),
        };
        let signed = self.params.signed_by(own, &Issuer::from_params(&issuer, &*key))?;
        let der = signed.der().to_vec();
        let serial = self.params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
        let at = |part: &[u8]| der::find(&der, part).context("a certificate without it");
        let changed = |place: usize, with: u8| {
            let mut der = der.clone();
            der[place] ^= with;
            der
        };
        Ok(match self.spoilt {
            Spoilt::No => der,
            Spoilt::Signature => changed(der.len() - 1, 1),
            Spoilt::Content => changed(at(&serial)? + serial.len() - 1, 1),
            Spoilt::Version2 => der::resigned(&der, &key, |content| {
                if let Some(at) = der::find(content, &[0xa0, 3, 2, 1, 2]) {
                    content[at + 4] = 1;
                }
            })?,
            Spoilt::NegativeSerial => der::resigned(&der, &key, |content| {
                if let Some(at) = der::find(content, &serial) {
                    content[at] |= 0x80;
                }
            })?,
            Spoilt::Longer => [&der[..], &[0]].concat(),
            Spoilt::Shorter => der[..der.len() - 1].to_vec(),
        }
        .into())
    }
}

/// A client's certificate.
fn leaf(world: &World, number: usize, rng: &mut Rng) -> CertificateParams {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&format!("chain {number}"));
    params.serial_number = Some(serial(rng));
    params.subject_alt_names = vec![spiffe(&format!("spiffe://{}/chain/{number}", world.spec.trust_domain))];
    for _ in 0..rng.usize(..3) {
        params.subject_alt_names.push(SanType::IpAddress([192, 0, 2, rng.u8(..)].into()));
    }
    params.extended_key_usages = match rng.u8(..4) {
        0 => vec![ClientAuth],
        1 => vec![ClientAuth, ServerAuth],
        2 => vec![ServerAuth, ClientAuth],
        _ => vec![Any, ClientAuth],
    };
    params.is_ca = [IsCa::NoCa, IsCa::ExplicitNoCa][rng.usize(..2)];
    if rng.bool() {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    vary(&mut params, rng);
    params
}

/// What an intermediate may say, with `below` others between it and the client.
fn intermediate(params: &mut CertificateParams, below: usize, rng: &mut Rng) {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    params.serial_number = Some(serial(rng));
    params.extended_key_usages = match rng.u8(..4) {
        0 => Vec::new(),
        1 => vec![ClientAuth],
        2 => vec![ServerAuth, ClientAuth],
        _ => vec![ClientAuth, Any],
    };
    if rng.bool() {
        let length = u8::try_from(below).unwrap_or(u8::MAX) + rng.u8(..2);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
    }
    vary(params, rng);
}

fn vary(params: &mut CertificateParams, rng: &mut Rng) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::minutes(rng.i64(1..500_000));
    params.not_after = now + Duration::minutes(rng.i64(60..500_000));
    params.use_authority_key_identifier_extension = rng.bool();
    if rng.bool() {
        params.custom_extensions.push(unknown_extension(false));
    }
}
