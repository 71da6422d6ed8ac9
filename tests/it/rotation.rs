//! Certificates, keys, authorities and revocation lists that change while clients go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scalegate_certs::{CertificateAuthority, Issued, LeafSpec, Serial, Validity};
use scalegate_tests::client::{Client, Connection};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Files as the kubelet lays out a mounted Secret: `ca.pem -> ..data/ca.pem`, `..data -> ..1`.
struct Mount {
    root: PathBuf,
    version: u32,
}

impl Mount {
    fn new(root: PathBuf, files: &[(&str, &str)]) -> Result<Self> {
        let mut mount = Self { root, version: 0 };
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mount.root.join(name))?;
        }
        mount.swap(files)?;
        Ok(mount)
    }

    /// Swaps all files for a copy in which these have another content.
    fn swap(&mut self, changes: &[(&str, &str)]) -> Result<()> {
        let old = self.root.join("..data");
        self.version += 1;
        let name = format!("..{}", self.version);
        let new = self.root.join(&name);
        fs::create_dir(&new)?;
        if old.exists() {
            for entry in fs::read_dir(&old)? {
                let entry = entry?;
                fs::copy(entry.path(), new.join(entry.file_name()))?;
            }
        }
        for (file, content) in changes {
            fs::write(new.join(file), content)?;
        }
        let link = self.root.join("..data_tmp");
        symlink(&name, &link)?;
        Ok(fs::rename(link, old)?)
    }
}

fn authority(name: &str) -> Result<CertificateAuthority> {
    Ok(CertificateAuthority::new(name, Validity::days(2))?)
}

fn server(authority: &CertificateAuthority) -> Result<Issued> {
    Ok(authority.issue(&LeafSpec::server("scalegate").dns("localhost").validity(Validity::days(1)))?)
}

fn list(authority: &CertificateAuthority, revoked: &[Serial]) -> Result<String> {
    Ok(authority.crl(revoked, Validity::days(1).not_after)?)
}

/// Those who have a viewer's certificate, one each.
struct Viewers {
    address: std::net::SocketAddr,
    /// What they trust the gateway by.
    trust: PathBuf,
}

impl Viewers {
    fn viewer(&self, authority: &CertificateAuthority) -> Result<(Client, Serial)> {
        let spec = LeafSpec::client("viewer").uri("spiffe://scalegate.test/viewer").validity(Validity::days(1));
        let issued = authority.issue(&spec)?;
        let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?;
        Ok((Client::new(self.address, &self.trust, Some((chain, key)))?, issued.serial))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Http1,
    Http2,
    NewConnections,
}

/// Clients that ask without a pause, each in its manner, with the certificate of the moment.
struct Load {
    stop: Arc<AtomicBool>,
    certificate: watch::Sender<Client>,
    /// By caller, requests since it got its certificate.
    answered: Vec<Arc<AtomicU64>>,
    callers: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn start(client: Client, path: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let certificate = watch::Sender::new(client);
        let (mut answered, mut callers) = (Vec::new(), Vec::new());
        for manner in [Manner::Http1, Manner::Http2, Manner::NewConnections] {
            let count = Arc::new(AtomicU64::new(0));
            answered.push(count.clone());
            callers.push(tokio::spawn(call(manner, certificate.subscribe(), path.to_owned(), stop.clone(), count)));
        }
        Self { stop, certificate, answered, callers }
    }

    /// Gives all callers another certificate, with which those that keep a connection make another.
    fn move_to(&self, client: Client) {
        self.certificate.send_replace(client);
    }

    /// Waits until each caller got some answers more.
    async fn goes_on(&self) -> Result<()> {
        let before: Vec<u64> = self.answered.iter().map(|count| count.load(SeqCst)).collect();
        poll::eventually("each caller to get ten answers more", async || {
            if let Some(ended) = self.callers.iter().position(JoinHandle::is_finished) {
                panic!("caller {ended} gave up");
            }
            let more = self.answered.iter().zip(&before).all(|(count, before)| count.load(SeqCst) >= before + 10);
            Ok(more.then_some(()))
        })
        .await
    }

    async fn stop(self) -> Result<()> {
        self.stop.store(true, SeqCst);
        for caller in self.callers {
            caller.await??;
        }
        Ok(())
    }
}

async fn call(
    manner: Manner,
    mut certificate: watch::Receiver<Client>,
    path: String,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
) -> Result<()> {
    let mut connection = None;
    while !stop.load(SeqCst) {
        let moved = certificate.has_changed()?;
        if moved || connection.is_none() || manner == Manner::NewConnections {
            let client = certificate.borrow_and_update().clone();
            connection = Some(if manner == Manner::Http2 { client.http2().await? } else { client.http1().await? });
        }
        let connection: &mut Connection = connection.as_mut().context("a connection")?;
        let answer = connection.get(&path).await.context("a request failed")?;
        ensure!(answer.status == 200, "{}", answer.json());
        answered.fetch_add(1, SeqCst);
    }
    Ok(())
}

async fn wait_metric(gateway: &Gateway, line: &str, reached: impl Fn(f64) -> bool) -> Result<()> {
    poll::eventually(line, async || Ok(gateway.metric(line).await.is_ok_and(&reached).then_some(()))).await
}

/// Swaps files and waits until the gateway has taken them over.
async fn rotate(gateway: &Gateway, mount: &mut Mount, changes: &[(&str, &str)]) -> Result<()> {
    const LOADED: &str = "scalegate_tls_reloads_total{outcome=\"ok\"}";
    let before = gateway.metric(LOADED).await?;
    mount.swap(changes)?;
    wait_metric(gateway, LOADED, |loaded| loaded > before).await
}

async fn status(gateway: &Gateway) -> Result<Value> {
    Ok(serde_json::from_str(&gateway.admin("/status").await?.1)?)
}

async fn wait_ended(connection: &mut Connection, path: &str) -> Result<()> {
    poll::eventually("the connection to end", async || Ok(connection.get(path).await.is_err().then_some(()))).await
}

#[tokio::test]
async fn everything_is_rotated_under_load_and_no_request_fails() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("rotation").await?;
    for name in ["api", "web"] {
        deployment(&namespace, name).replicas(1).create(&suite.kube().await?).await?;
    }
    let (first, second) = (authority("first CA")?, authority("second CA")?);
    let own = server(&first)?;
    let files = [
        ("server.pem", own.cert_pem.as_str()),
        ("server-key.pem", &own.key_pem),
        ("ca.pem", first.cert_pem()),
        ("crl.pem", &list(&first, &[])?),
    ];
    let mut mount = Mount::new(suite.directory("rotated-certs")?, &files)?;
    let trust = suite.directory("rotated-trust")?.join("trust.pem");
    let both = [first.cert_pem(), second.cert_pem()].concat();
    fs::write(&trust, &both)?;
    let mut options = suite.options("rotation");
    options.certs.clone_from(&mount.root);
    let gateway = suite.start(&options).await?;

    let viewers = Viewers { address: gateway.address, trust };
    let (viewer, _) = viewers.viewer(&first)?;
    suite::wait_seen(&viewer, &namespace, "web").await?;
    suite::wait_seen(&viewer, &namespace, "api").await?;
    let path = suite::replicas(&namespace, "web");
    let part = format!("/v1/namespaces/{namespace}/deployments?limit=1");
    let begun = viewer.get(&part).await?.json();
    let mut bystander = viewer.http2().await?;
    assert_eq!(bystander.get(&path).await?.status, 200);
    let load = Load::start(viewer.clone(), &path);
    load.goes_on().await?;

    // The server's certificate and key: open connections stay, and a list that was begun goes on.
    let renewed = server(&first)?;
    mount.swap(&[("server.pem", &renewed.cert_pem)])?;
    wait_metric(&gateway, "scalegate_tls_reload_failing", |failing| failing > 0.0).await?;
    let told = status(&gateway).await?["tls"]["lastError"]["message"].to_string();
    assert!(told.contains("does not hold the private key"), "{told}");
    load.goes_on().await?;
    rotate(&gateway, &mut mount, &[("server-key.pem", &renewed.key_pem)]).await?;
    load.goes_on().await?;
    let cursor = begun["continue"].as_str().context("a cursor")?;
    let rest = viewer.get(&format!("{part}&continue={cursor}")).await?;
    assert_eq!((rest.status, rest.json()["items"][0]["name"].as_str()), (200, Some("web")), "{}", rest.json());

    // The authority: the new one beside the old, the server's certificate by it, the clients', and the old one leaves.
    let lists = [list(&first, &[])?, list(&second, &[])?].concat();
    rotate(&gateway, &mut mount, &[("ca.pem", &both), ("crl.pem", &lists)]).await?;
    let (viewer, _) = viewers.viewer(&second)?;
    assert_eq!(viewer.get(&path).await?.status, 200);
    let own = server(&second)?;
    rotate(&gateway, &mut mount, &[("server.pem", &own.cert_pem), ("server-key.pem", &own.key_pem)]).await?;
    load.goes_on().await?;
    assert_eq!(bystander.get(&path).await?.status, 200, "a connection by the old authority");
    load.move_to(viewer);
    load.goes_on().await?;
    rotate(&gateway, &mut mount, &[("ca.pem", second.cert_pem()), ("crl.pem", &list(&second, &[])?)]).await?;
    wait_ended(&mut bystander, &path).await?;
    load.goes_on().await?;

    // The revocation list: who is on it loses the connection, and nobody else does.
    let (leaver, serial) = viewers.viewer(&second)?;
    let mut connection = leaver.http1().await?;
    assert_eq!(connection.get(&path).await?.status, 200);
    rotate(&gateway, &mut mount, &[("crl.pem", &list(&second, &[serial])?)]).await?;
    wait_ended(&mut connection, &path).await?;
    assert!(leaver.get(&path).await.is_err());
    load.goes_on().await?;
    load.stop().await?;

    for reason in ["revoked", "untrusted"] {
        let line = format!("scalegate_connections_ended_total{{reason=\"{reason}\"}}");
        assert!(gateway.metric(&line).await? >= 1.0, "{reason}");
    }
    let status = status(&gateway).await?;
    assert_eq!(status["tls"]["lastError"], Value::Null, "{status}");
    assert!(status["ready"] == true && status["leader"].is_boolean(), "{status}");
    assert_eq!(status["policies"]["modules"][0]["mode"], "enforce", "{status}");
    assert!(!status.to_string().contains("viewer"), "the page shows no client: {status}");
    gateway.terminate().await
}
