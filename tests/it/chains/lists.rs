//! Revocation lists that a gateway must not start with: what it says, and what `openssl crl` says.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use scalegate_tests::paths::binary;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::der::{self, INTEGER, SEQUENCE, extension, sequence, tagged};
use super::openssl::block;
use super::world::named;

/// The client CA that the lists are of.
struct Ca {
    key: KeyPair,
    /// Its name and its certificate, DER.
    name: Vec<u8>,
    certificate: Vec<u8>,
}

/// The parts of a list (RFC 5280, section 5.1.2).
struct Parts {
    version: Option<u8>,
    next_update: Option<OffsetDateTime>,
    number: Vec<u8>,
    /// Entries and their extensions.
    entries: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
}

impl Default for Parts {
    fn default() -> Self {
        let next_update = Some(OffsetDateTime::now_utc() + Duration::DAY);
        Self { version: Some(1), next_update, number: vec![7], entries: vec![entry(&[])], extensions: Vec::new() }
    }
}

/// A revoked certificate.
fn entry(extensions: &[u8]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { sequence(&[extensions]) };
    let date = der::date(OffsetDateTime::now_utc() - Duration::DAY);
    sequence(&[&tagged(INTEGER, &[0x41, 0x42]), &date, &extensions])
}

impl Ca {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named("lists");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().to_vec();
        Ok(Self { key, name: der::name("Chains", "lists"), certificate })
    }

    fn list_by(&self, parts: &Parts, key: &KeyPair) -> Result<Vec<u8>> {
        let version = parts.version.map(|version| tagged(INTEGER, &[version])).unwrap_or_default();
        let this_update = der::date(OffsetDateTime::now_utc() - Duration::HOUR);
        let next_update = parts.next_update.map(der::date).unwrap_or_default();
        let entries = if parts.entries.is_empty() { Vec::new() } else { tagged(SEQUENCE, &parts.entries.concat()) };
        let key_id = sequence(&[&tagged(0x80, &der::key_identifier(&self.key))]);
        let mut extensions = extension(&[0x55, 0x1d, 35], false, &key_id);
        extensions.extend(extension(&[0x55, 0x1d, 20], false, &tagged(INTEGER, &parts.number)));
        extensions.extend(parts.extensions.concat());
        let extensions = tagged(0xa0, &sequence(&[&extensions]));
        let extensions = if parts.version.is_some() { extensions } else { Vec::new() };
        let algorithm = der::ecdsa_sha256();
        let content = sequence(&[&version, &algorithm, &self.name, &this_update, &next_update, &entries, &extensions]);
        der::signed(&content, &algorithm, key)
    }

    fn list(&self, parts: &Parts) -> Result<Vec<u8>> {
        self.list_by(parts, &self.key)
    }
}

/// A file of lists.
struct File {
    what: &'static str,
    text: String,
    /// What the gateway says of it; it starts with those of which it says nothing.
    told: Option<&'static str>,
    /// Whether `openssl crl` reads it and, with the CA's certificate, takes its signature.
    openssl: bool,
}

fn files(ca: &Ca) -> Result<Vec<File>> {
    let good = ca.list(&Parts::default())?;
    let pem = |der: &[u8]| block("X509 CRL", der);
    let refused = |what, text, told, openssl| File { what, text, told: Some(told), openssl };
    let with = |what, parts: &Parts, told, openssl| anyhow::Ok(refused(what, pem(&ca.list(parts)?), told, openssl));
    let extended = |extension: Vec<u8>| Parts { extensions: vec![extension], ..Parts::default() };
    let entered = |extension: &[u8]| Parts { entries: vec![entry(extension)], ..Parts::default() };
    let one = || tagged(INTEGER, &[1]);
    let indirect = sequence(&[&tagged(0x84, &[0xff])]);
    let mut longer = good.clone();
    longer.push(0);
    let mut broken = good.clone();
    broken[1] ^= 0x40;
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let ended = Some(OffsetDateTime::now_utc() - Duration::MINUTE);
    Ok(vec![
        File { what: "a good list", text: pem(&good), told: None, openssl: true },
        File {
            what: "a list without entries",
            text: pem(&ca.list(&Parts { entries: vec![], ..Parts::default() })?),
            told: None,
            openssl: true,
        },
        File {
            what: "a list that has ended",
            text: pem(&ca.list(&Parts { next_update: ended, ..Parts::default() })?),
            told: None,
            openssl: true,
        },
        File {
            what: "text around the list",
            text: format!("a comment\n{}another\n", pem(&good)),
            told: None,
            openssl: true,
        },
        with("version 1", &Parts { version: None, ..Parts::default() }, "is not a valid revocation list", true)?,
        with("version 3", &Parts { version: Some(2), ..Parts::default() }, "is not a valid revocation list", true)?,
        with("no end", &Parts { next_update: None, ..Parts::default() }, "is not a valid revocation list", true)?,
        with("a delta", &extended(extension(&[0x55, 0x1d, 27], true, &one())), "is not a valid revocation list", true)?,
        with(
            "an indirect list",
            &extended(extension(&[0x55, 0x1d, 28], true, &indirect)),
            "is not a valid revocation list",
            true,
        )?,
        with(
            "an unknown critical extension",
            &extended(extension(&[0x2b, 0x63], true, &[5, 0])),
            "is not a valid revocation list",
            true,
        )?,
        with(
            "a number of 21 bytes",
            &Parts { number: vec![0x11; 21], ..Parts::default() },
            "is not a valid revocation list",
            true,
        )?,
        with(
            "an unknown critical extension of an entry",
            &entered(&extension(&[0x2b, 0x63], true, &[5, 0])),
            "is not a valid revocation list",
            true,
        )?,
        with(
            "an entry of another issuer",
            &entered(&extension(&[0x55, 0x1d, 29], true, &sequence(&[&tagged(0xa4, &ca.name)]))),
            "is not a valid revocation list",
            true,
        )?,
        refused(
            "signed by a namesake",
            pem(&ca.list_by(&Parts::default(), &KeyPair::generate()?)?),
            "but is not signed by the client CA of that name",
            false,
        ),
        refused("a changed bit", pem(&changed), "but is not signed by the client CA of that name", false),
        refused("a byte too many", pem(&longer), "is not a valid revocation list", true),
        refused("a byte too few", pem(&good[..good.len() - 1]), "is not a valid revocation list", false),
        refused("a wrong length", pem(&broken), "is not a valid revocation list", false),
        refused("nothing", String::new(), "contains no", false),
        refused("a certificate", block("CERTIFICATE", &ca.certificate), "but this file may only contain", false),
        refused("DER", String::from_utf8_lossy(&good).into_owned(), "the file must be PEM text, not DER", false),
        refused(
            "a list that is glued to another",
            [pem(&good).trim_end(), &pem(&good)].concat(),
            "is not valid PEM",
            false,
        ),
        refused("no END", pem(&good).replace("-----END X509 CRL-----\n", ""), "is not valid PEM", false),
        refused("a list and half of another", [&pem(&good), &pem(&good)[..200]].concat(), "is not valid PEM", true),
        refused("no base64", pem(&good).replacen('M', "*", 1), "is not valid PEM", false),
        refused(
            "a good list and a bad one",
            [pem(&good), pem(&good[..good.len() - 1])].concat(),
            "is not a valid revocation list",
            true,
        ),
    ])
}

/// What the gateway says when it starts with a list; `None` where it only misses its policies.
fn gateway(directory: &Path, list: &Path) -> Result<Option<String>> {
    let config = directory.join("scalegate.yaml");
    let tls = json!({
        "certificate": directory.join("server.pem"), "key": directory.join("server-key.pem"),
        "clientCas": [{ "file": directory.join("lists-ca.pem"), "trustDomain": "scalegate.test" }], "crls": [list],
    });
    let lease = json!({ "namespace": "scalegate", "name": "scalegate", "identity": "test" });
    fs::write(&config, json!({ "tls": tls, "policies": { "directory": "/nowhere" }, "lease": lease }).to_string())?;
    let output = Command::new(binary("scalegate")?).args(["serve", "--config"]).arg(&config).output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{told}");
    Ok(told.contains(&list.display().to_string()).then_some(told))
}

/// Whether `openssl crl` reads a list and takes its signature.
fn openssl(directory: &Path, list: &Path) -> Result<bool> {
    let ca = directory.join("lists-ca.pem");
    let output = Command::new("openssl").args(["crl", "-noout", "-CAfile"]).arg(ca).arg("-in").arg(list).output()?;
    // It says so and ends well, whatever the signature is.
    Ok(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("verify OK"))
}

#[test]
fn a_gateway_starts_with_no_list_that_it_would_misread() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let certs = scalegate_tests::stack::certificates(directory.path())?;
    let ca = Ca::new()?;
    fs::write(certs.join("lists-ca.pem"), block("CERTIFICATE", &ca.certificate))?;
    let (mut wrong, mut differing) = (Vec::new(), Vec::new());
    let files = files(&ca)?;
    for File { what, text, told, openssl: expected } in &files {
        let list = certs.join("list.pem");
        fs::write(&list, text)?;
        let said = gateway(&certs, &list).context(*what)?;
        let is_as_told = match told {
            Some(told) => said.as_ref().is_some_and(|said| said.contains(told)),
            None => said.is_none(),
        };
        if !is_as_told {
            wrong.push(format!("{what}: the gateway says {said:?}"));
        }
        let taken = openssl(&certs, &list)?;
        if taken != *expected {
            wrong.push(format!("{what}: openssl crl {}", if taken { "takes it" } else { "does not" }));
        }
        if taken == told.is_some() {
            differing.push(*what);
        }
    }
    println!("{} files of lists; openssl crl takes these, the gateway does not: {differing:?}", files.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
