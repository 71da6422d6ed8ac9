//! `scalegate doctor` names what is wrong with a set-up, and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scalegate_certs::{CertificateAuthority, Validity};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::binary;
use scalegate_tests::pki::{Authority, KeyedCertificate};
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::suite::{self, Shared};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The files and the address of one client.
#[derive(Debug, Clone)]
struct SetUp {
    server: String,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl SetUp {
    fn of(suite: &Shared, client: &str) -> Self {
        let file = |name: String| suite.certs().join("clients").join(name);
        Self {
            server: format!("https://localhost:{}", suite.address().port()),
            ca: suite.certs().join("ca.pem"),
            cert: file(format!("{client}.pem")),
            key: file(format!("{client}-key.pem")),
        }
    }

    /// The report, and whether the program says that requests work.
    async fn examine(&self) -> Result<(Vec<Value>, bool)> {
        let output = Command::new(binary("scalegate")?)
            .args(["doctor", "--json", "--server", &self.server])
            .arg("--ca")
            .arg(&self.ca)
            .arg("--cert")
            .arg(&self.cert)
            .arg("--key")
            .arg(&self.key)
            .output()
            .await?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((report["steps"].as_array().context("no steps")?.clone(), output.status.success()))
    }
}

/// Asserts that the report is about `step` first, in `state`, with `detail` and `remedy` in its words.
fn assert_named(what: &str, steps: &[Value], [step, state, detail, remedy]: [&str; 4]) {
    let first = steps.iter().find(|found| found["state"] != "ok");
    let named = first.is_some_and(|found| {
        let says = |field: &str, part: &str| found[field].as_str().is_some_and(|text| text.contains(part));
        found["step"] == step && found["state"] == state && says("detail", detail) && says("remedy", remedy)
    });
    assert!(named, "{what}: {first:#?}");
}

/// A server on the loopback interface that answers every request with `answer`, over TLS if it has a certificate.
pub(super) struct Server {
    pub(super) port: u16,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(certificate: Option<&KeyedCertificate>, answer: impl Into<String>) -> Result<Self> {
        let answer = answer.into();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, mut serving) = (listener.local_addr()?.port(), JoinSet::new());
        let acceptor = certificate.map(acceptor).transpose()?;
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = match &acceptor {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => respond(stream, &answer).await,
                        Err(error) => Err(error.into()),
                    },
                    None => respond(stream, &answer).await,
                };
            }
        });
        Ok(Self { port, _serving: serving })
    }
}

fn acceptor(of: &KeyedCertificate) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&of.certificate)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&of.key)?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn respond(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, answer: &str) -> Result<()> {
    let mut request = [0; 1024];
    while stream.read(&mut request).await? > 0 {
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
    Ok(())
}

const WELCOME: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello";
/// As a gateway from before `/v1/version` would answer it.
const OLD: &str = "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\nContent-Type: application/problem+json\r\n\
                   Content-Length: 24\r\n\r\n{\"code\":\"no_such_route\"}";
const LATE: &str = "HTTP/1.1 200 OK\r\nx-request-id: 1\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\
                    Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"version\":\"0.1.0\"}";

#[tokio::test]
async fn a_right_set_up_passes_every_step() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("doctor").await?;
    deployment(&namespace, "web").create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let (steps, works) = SetUp::of(&suite, "operator").examine().await?;
    assert!(works && steps.iter().all(|step| step["state"] == "ok"), "{steps:#?}");
    let names: Vec<_> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    let expected =
        ["ca", "certificate", "key", "name", "port", "handshake", "identity", "clock", "version", "cache", "policy"];
    assert_eq!(names, expected);
    Ok(())
}

#[tokio::test]
async fn each_broken_set_up_is_named_with_its_remedy() -> Result<()> {
    let suite = suite::shared().await?;
    let right = SetUp::of(&suite, "operator");
    let work = TempDir::new()?;
    let authority = Authority::create(work.path())?;
    let at = |port: u16| format!("https://localhost:{port}");
    let (here, elsewhere) = (authority.server("here", &["localhost"])?, authority.server("there", &["gate.example"])?);
    let (other, plain) = (Server::start(Some(&elsewhere), WELCOME).await?, Server::start(None, WELCOME).await?);
    let (proxy, old) = (Server::start(Some(&here), WELCOME).await?, Server::start(Some(&here), OLD).await?);
    let late = Server::start(Some(&here), LATE).await?;
    let trusting = |server: &Server| SetUp { server: at(server.port), ca: authority.certificate(), ..right.clone() };
    let not_pem = work.path().join("text.pem");
    std::fs::write(&not_pem, "no certificate")?;
    let day = time::Duration::DAY;
    let past = Validity::between(time::OffsetDateTime::now_utc() - 2 * day, time::OffsetDateTime::now_utc() - day);
    let two_cas = work.path().join("cas.pem");
    let old_ca = CertificateAuthority::new("old CA", past)?;
    std::fs::write(&two_cas, [&std::fs::read_to_string(&right.ca)?, old_ca.cert_pem()].concat())?;

    for (what, set_up, named) in [
        (
            "a wrong CA",
            SetUp { ca: authority.certificate(), ..right.clone() },
            ["handshake", "failed", "--ca does not contain the CA", "is --ca (SCALEGATE_CA) the CA"],
        ),
        (
            "an expired CA",
            SetUp { ca: two_cas, ..right.clone() },
            ["ca", "warning", "cas.pem: block 2 (line", "replace it by its successor"],
        ),
        (
            "an expired certificate",
            SetUp::of(&suite, "expired"),
            ["certificate", "failed", "it expired at", "renew it"],
        ),
        (
            "the key of another certificate",
            SetUp { key: SetUp::of(&suite, "viewer").key, ..right.clone() },
            ["key", "failed", "is not the key of", "name the key"],
        ),
        ("another clock", trusting(&late), ["clock", "failed", "this machine's clock is", "by NTP"]),
        ("another name", trusting(&other), ["handshake", "failed", "not for localhost: it is one for", "--server"]),
        (
            "a name that is not there",
            SetUp { server: "https://gate.invalid:8443".to_owned(), ..right.clone() },
            ["name", "failed", "gate.invalid has no address", "--server"],
        ),
        (
            "a closed port",
            SetUp { server: at(ReservedPort::reserve()?.release()), ..right.clone() },
            ["port", "failed", "refused", "is the gateway running"],
        ),
        (
            "a server that speaks HTTP",
            SetUp { server: at(plain.port), ..right.clone() },
            ["handshake", "failed", "does not speak TLS", "a proxy in between"],
        ),
        (
            "an HTTP proxy that ends TLS",
            trusting(&proxy),
            ["identity", "failed", "not the gateway that answers", "pass TLS through"],
        ),
        (
            "a revoked certificate",
            SetUp::of(&suite, "revoked"),
            ["identity", "failed", "alert CertificateRevoked", "have a new one issued"],
        ),
        (
            "a certificate of another CA",
            SetUp::of(&suite, "other-ca"),
            ["identity", "failed", "alert UnknownCA", "does not trust the certificate's issuer"],
        ),
        ("no role", SetUp::of(&suite, "stranger"), ["policy", "failed", "let you get no Deployment", "for a role"]),
        ("an old gateway", trusting(&old), ["version", "warning", "the gateway is older", "upgrade"]),
        (
            "a file that is none",
            SetUp { cert: not_pem, ..right.clone() },
            ["certificate", "failed", "text.pem", "your own first"],
        ),
    ] {
        let (steps, works) = set_up.examine().await.context(what)?;
        assert_named(what, &steps, named);
        assert!(!works || named[1] == "warning", "{what}: {steps:#?}");
    }
    assert_text(&SetUp { ca: authority.certificate(), ..right }, work.path()).await
}

/// Asserts that people read the same as a table.
async fn assert_text(set_up: &SetUp, home: &Path) -> Result<()> {
    let output = Command::new(binary("scalegate")?)
        .arg("doctor")
        .env("SCALEGATE_CONFIG", home.join("none.yaml"))
        .env("SCALEGATE_SERVER", &set_up.server)
        .env("SCALEGATE_CA", &set_up.ca)
        .env("SCALEGATE_CERT", &set_up.cert)
        .env("SCALEGATE_KEY", &set_up.key)
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows.iter().any(|row| row.starts_with("ok    port")), "{text}");
    let last = rows.iter().rposition(|row| row.starts_with("FAIL  handshake")).context(text.clone())?;
    assert!(rows[last + 1].trim_start().starts_with("→ is --ca"), "{text}");
    assert!(!output.status.success());
    Ok(())
}
