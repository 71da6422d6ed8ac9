//! Chains of certificates, each faulty one with a twin that lacks only the fault: what the gateway and `openssl verify`
//! say of them, and with which alert a handshake ends.

mod constraints;
mod der;
mod draft;
mod faults;
mod lists;
mod openssl;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use futures::{StreamExt, TryStreamExt, stream};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use scalegate_tests::client::Client;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::suite;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::soak;
use draft::{Draft, Issued, Revoker};
use faults::{Fault, Opinion, Verdict, Worlds};
use world::{Keys, World};

/// The same chains in every run.
const SEED: u64 = 0x5ca1_e6a7;
/// Longer than an answer takes on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Handshakes and processes at once.
const AT_ONCE: usize = 8;

/// A chain, and what must be said of it.
struct Case {
    what: String,
    issued: Issued,
    world: usize,
    verdict: Verdict,
    openssl: Opinion,
}

/// Everything that is tried.
struct Plan {
    worlds: Vec<World>,
    cases: Vec<Case>,
    faulty: usize,
}

/// The place of the world of that name.
fn place(worlds: &[World], name: &str) -> Result<usize> {
    worlds.iter().position(|world| world.spec.name == name).with_context(|| format!("no world {name}"))
}

/// The worlds of a faulty chain and of its twin.
fn worlds_of(fault: &Fault, worlds: &[World], rng: &mut Rng) -> Result<(usize, usize)> {
    let mut one_of = |suits: &dyn Fn(&World) -> bool| {
        let suitable: Vec<_> = (0..worlds.len()).filter(|place| suits(&worlds[*place])).collect();
        rng.choice(suitable).context("no such world")
    };
    let both = match &fault.worlds {
        Worlds::Ordinary => one_of(&|world| world.spec.is_ordinary)?,
        Worlds::Listed => one_of(&|world| world.spec.is_ordinary && world.spec.lists[0] == world::List::Current)?,
        Worlds::Only(name) => place(worlds, name)?,
        Worlds::Faulty(faulty, twin) => return Ok((place(worlds, faulty)?, place(worlds, twin)?)),
    };
    Ok((both, both))
}

impl Plan {
    /// Tries each fault in at most `most` chains.
    fn new(most: usize) -> Result<Self> {
        let mut rng = Rng::with_seed(SEED);
        let keys = Keys::new()?;
        let specs = world::specs().into_iter();
        let mut worlds = specs.map(|spec| World::new(spec, &keys, &mut rng)).collect::<Result<Vec<_>>>()?;
        let mut drafts = Vec::new();
        for fault in faults::all() {
            let mut places = Vec::new();
            for depth in fault.depths.0..=fault.depths.1 {
                places.extend((fault.places.0..=fault.places.1.min(depth)).map(|at| (depth, at)));
            }
            rng.shuffle(&mut places);
            places.truncate(most);
            ensure!(!places.is_empty(), "{}: no chain can have it", fault.what);
            for (depth, at) in places {
                drafts.extend(pair(&fault, depth, at, drafts.len(), &worlds, &mut rng)?);
            }
        }
        for (draft, ..) in &drafts {
            for (revoker, level, serial) in &draft.revoked {
                let by = match revoker {
                    Revoker::Own => draft.world,
                    Revoker::World(name) => place(&worlds, name)?,
                };
                worlds[by].revoke(*level, serial.clone());
            }
        }
        let faulty = drafts.len() / 2;
        let cases = drafts.into_iter().map(|(draft, what, verdict, openssl)| {
            let issued = draft.issue(&worlds, &keys).with_context(|| what.clone())?;
            Ok(Case { what, issued, world: draft.world, verdict, openssl })
        });
        let cases = cases.collect::<Result<_>>()?;
        Ok(Self { worlds, cases, faulty })
    }
}

type Planned = (Draft, String, Verdict, Opinion);

/// A faulty chain and its twin.
fn pair(
    fault: &Fault,
    depth: usize,
    at: usize,
    number: usize,
    worlds: &[World],
    rng: &mut Rng,
) -> Result<[Planned; 2]> {
    let (place, twins) = worlds_of(fault, worlds, rng)?;
    let seed = rng.u64(..);
    let good = |place: usize| {
        let mut draft = Draft::good(place, &worlds[place], depth, number, &mut Rng::with_seed(seed));
        (fault.prepare)(&mut draft, at);
        draft
    };
    let mut faulty = good(place);
    (fault.change)(&mut faulty, at);
    // The twin of five intermediates has four.
    let mut twin = good(twins);
    if depth > 4 {
        twin.pieces.remove(1);
    }
    let what = format!("{}, at {at} below {depth} intermediates of {}", fault.what, worlds[place].spec.name);
    let of_twin = format!("the twin of: {what}");
    Ok([(faulty, what, fault.verdict, fault.openssl), (twin, of_twin, Verdict::Served, Opinion::Same)])
}

/// A client that shows a chain, whatever is wrong with it.
fn client(gateway: &Gateway, roots: &Arc<RootCertStore>, issued: &Issued) -> Result<Client> {
    let provider = CryptoProvider { kx_groups: vec![kx_group::X25519], ..default_provider() };
    let key = any_supported_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.key.serialize_der())))?;
    let certified = CertifiedKey::new(issued.sent.clone(), key);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots.clone())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(Client::configured(gateway.address, Arc::new(config)))
}

/// What the gateway says.
async fn ask(client: &Client) -> Result<Verdict> {
    let mut stream = client.tls(b"http/1.1").await?;
    // A handshake that was refused shows when its end is read.
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.context("neither an answer nor an alert")?;
    let text = String::from_utf8_lossy(&answer);
    match read {
        Ok(_) if text.starts_with("HTTP/1.1 200 ") => Ok(Verdict::Served),
        Ok(_) if text.starts_with("HTTP/1.1 403 ") && text.contains("identity_refused") => Ok(Verdict::Nobody),
        Ok(_) => bail!("an answer of another kind: {text}"),
        Err(error) => match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Ok(Verdict::Alert(*alert)),
            _ => Err(error.into()),
        },
    }
}

/// What is wrong with what was said of a case.
async fn check(
    case: &Case,
    number: usize,
    gateway: &Gateway,
    roots: &Arc<RootCertStore>,
    world: &World,
    directory: &Path,
) -> Result<Vec<String>> {
    let verdict = ask(&client(gateway, roots, &case.issued)?).await;
    let (taken, said) = openssl::verify(world, directory, &number.to_string(), &case.issued.sent).await?;
    let mut wrong = Vec::new();
    if !verdict.as_ref().is_ok_and(|verdict| *verdict == case.verdict) {
        wrong.push(format!("{}: {verdict:?}, not {:?}", case.what, case.verdict));
    }
    let agrees = taken == !matches!(case.verdict, Verdict::Alert(_));
    if agrees != (case.openssl == Opinion::Same) {
        wrong.push(format!("{}: openssl verify {}: {said}", case.what, if taken { "takes it" } else { "does not" }));
    }
    Ok(wrong)
}

/// The certificates and lists of all worlds, beside those of the gateway itself; the certificates that clients trust.
fn install(certs: &Path, worlds: &[World]) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(certs.join("ca.pem"))? {
        roots.add(certificate?)?;
    }
    let (mut ours, mut others) = (fs::read_to_string(certs.join("ca.pem"))?, String::new());
    let mut lists = fs::read_to_string(certs.join("crl.pem"))?;
    for world in worlds {
        let file = if world.spec.trust_domain == "scalegate.test" { &mut ours } else { &mut others };
        file.push_str(&openssl::block("CERTIFICATE", &world.root));
        lists += &world.lists()?;
    }
    fs::write(certs.join("ca.pem"), ours)?;
    fs::write(certs.join("others.pem"), others)?;
    fs::write(certs.join("crl.pem"), lists)?;
    Ok(Arc::new(roots))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_are_judged_as_openssl_does_but_for_the_differences_that_are_written_down() -> Result<()> {
    let suite = suite::exclusive().await?;
    let directory = suite.directory("chains")?;
    let certs = scalegate_tests::stack::certificates(&directory.join("certs"))?;
    let plan = Plan::new(soak::or(3, usize::MAX))?;
    let roots = install(&certs, &plan.worlds)?;
    let directories = openssl::prepare(&directory, &plan.worlds)?;
    let mut options = suite.options("chains");
    options.client_cas.push((certs.join("others.pem"), "other.test".to_owned()));
    options.certs = certs;
    let gateway = suite.start(&options).await?;

    let (gateway_, roots) = (&gateway, &roots);
    let checks = plan.cases.iter().enumerate().map(|(number, case)| {
        let (world, directory) = (&plan.worlds[case.world], &directories[case.world]);
        async move { check(case, number, gateway_, roots, world, directory).await }
    });
    let wrong: Vec<Vec<String>> = stream::iter(checks).buffer_unordered(AT_ONCE).try_collect().await?;
    let wrong = wrong.concat();

    let mut alerts = BTreeMap::new();
    for case in &plan.cases {
        *alerts.entry(format!("{:?}", case.verdict)).or_insert(0_u32) += 1;
    }
    let differing = plan.cases.iter().filter(|case| case.openssl != Opinion::Same).count();
    println!(
        "{} chains below {} client CAs, {} of them with a fault or something unusual: {alerts:?}; on {differing} \
         openssl verify differs, as it must",
        plan.cases.len(),
        plan.worlds.len(),
        plan.faulty,
    );
    ensure!(plan.cases.len() >= 500, "too few chains");
    ensure!(wrong.is_empty(), "{} verdicts are wrong:\n{}", wrong.len(), wrong.join("\n"));
    gateway.terminate().await
}
