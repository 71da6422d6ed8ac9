//! Who gets in.

mod algorithms;
mod resumption;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scalegate::proto::v1::ListPoliciesRequest;
use scalegate_certs::{CertificateAuthority, LeafSpec, Validity};
use scalegate_tests::client::Client;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::paths::binary;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;
use tonic_types::StatusExt;

#[tokio::test]
async fn certificates_that_are_not_good_do_not_get_a_connection() -> Result<()> {
    let suite = suite::shared().await?;
    for name in ["expired", "revoked", "wrong-eku", "other-ca"] {
        let result = suite.client(name)?.get("/healthz").await;
        assert!(result.is_err(), "{name} was answered {:?}", result.map(|answer| answer.status));
    }
    let nobody = Client::new(suite.address(), &suite.certs().join("ca.pem"), None)?.get("/healthz").await;
    assert!(nobody.is_err(), "no certificate was answered {:?}", nobody.map(|answer| answer.status));
    assert_eq!(suite.client("stranger")?.get("/healthz").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_certificate_with_two_spiffe_uris_is_told_why_it_is_nobody() -> Result<()> {
    let suite = suite::shared().await?;
    let [certificate, key] = ["ca.pem", "ca-key.pem"].map(|file| std::fs::read_to_string(suite.certs().join(file)));
    let authority = scalegate_certs::CertificateAuthority::load(&certificate?, &key?)?;
    let spec = scalegate_certs::LeafSpec::client("two")
        .uri("spiffe://scalegate.test/operator")
        .uri("spiffe://scalegate.test/admin");
    let issued = authority.issue(&spec)?;
    let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?;
    let client = Client::new(suite.address(), &suite.certs().join("ca.pem"), Some((chain, key)))?;

    let answer = client.get("/v1/deployments").await?;
    assert_eq!((answer.status, answer.code().as_str()), (403, "identity_refused"));
    let by_grpc = client.replica_service().await?.list_policies(ListPoliciesRequest {}).await;
    let status = by_grpc.err().context("a certificate with two names got an answer")?;
    let code = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), code.as_deref()), (tonic::Code::PermissionDenied, Some("identity_refused")));
    assert!(answer.json()["detail"].as_str().unwrap_or_default().contains("URI"), "{}", answer.json());
    Ok(())
}

#[tokio::test]
async fn a_plain_text_client_and_a_half_open_one_do_no_harm() -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let suite = suite::shared().await?;
    let mut plain = tokio::net::TcpStream::connect(suite.address()).await?;
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    let _silent = tokio::net::TcpStream::connect(suite.address()).await?;
    assert_eq!(suite.client("viewer")?.get("/healthz").await?.status, 200);
    Ok(())
}

/// The time of certificates without an end (RFC 5280 section 4.1.2.5).
const NO_END: i64 = 253_402_300_799;

fn until(end: time::OffsetDateTime) -> Validity {
    Validity::between(time::OffsetDateTime::now_utc() - time::Duration::hours(1), end)
}

/// A client with a viewer's certificate by `authority`.
fn viewer(gateway: &Gateway, trust: &Path, authority: &CertificateAuthority, validity: Validity) -> Result<Client> {
    let spec = LeafSpec::client("viewer").uri("spiffe://scalegate.test/viewer").validity(validity);
    let issued = authority.issue(&spec)?;
    let chain = CertificateDer::pem_slice_iter(issued.cert_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    Client::new(gateway.address, trust, Some((chain, PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?)))
}

fn logged(gateway: &Gateway, text: &str) -> bool {
    gateway.log().iter().any(|line| line.to_string().contains(text))
}

/// Waits until the gateway's last look at its files has failed, or has not.
async fn wait_failing(gateway: &Gateway, failing: bool) -> Result<()> {
    const METRIC: &str = "scalegate_tls_reload_failing";
    let is_so = |value: f64| (value > 0.0) == failing;
    poll::eventually(METRIC, async || Ok(is_so(gateway.metric(METRIC).await?).then_some(()))).await
}

#[test]
fn a_gateway_does_not_start_with_a_revocation_list_that_it_would_not_read() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let certs = scalegate_tests::stack::certificates(directory.path())?;
    let crl = fs::read_to_string(certs.join("crl.pem"))?;
    let ca = certs.join("ca.pem");
    fs::write(certs.join("crl.pem"), format!("{}{crl}", crl.trim_end()))?;
    let config = directory.path().join("scalegate.yaml");
    let tls = json!({
        "certificate": certs.join("server.pem"), "key": certs.join("server-key.pem"),
        "clientCas": [{ "file": ca, "trustDomain": "scalegate.test" }], "crls": [certs.join("crl.pem")],
    });
    let lease = json!({ "namespace": "scalegate", "name": "scalegate", "identity": "test" });
    fs::write(&config, json!({ "tls": tls, "policies": { "directory": "/nowhere" }, "lease": lease }).to_string())?;
    let output = Command::new(binary("scalegate")?).args(["serve", "--config"]).arg(&config).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let place = format!("crl.pem: is not valid PEM: line {}: it resembles a BEGIN or END line", crl.lines().count());
    assert!(told.contains(&place), "{told}");
    Ok(())
}

#[tokio::test]
async fn authorities_are_asked_for_their_time_and_a_list_that_is_not_read_does_not_serve() -> Result<()> {
    let suite = suite::exclusive().await?;
    let directory = suite.directory("authorities")?;
    let certs = scalegate_tests::stack::certificates(&directory)?;
    let now = time::OffsetDateTime::now_utc();
    let endless = until(time::OffsetDateTime::from_unix_timestamp(NO_END)?);
    let trust = directory.join("trust.pem");
    fs::copy(certs.join("ca.pem"), &trust)?;
    let lasting = CertificateAuthority::new("lasting CA", endless)?;
    let over = CertificateAuthority::new("ended CA", until(now - time::Duration::minutes(1)))?;
    let own = fs::read_to_string(&trust)?;
    fs::write(certs.join("ca.pem"), [&own, lasting.cert_pem(), over.cert_pem()].concat())?;
    let mut options = suite.options("authorities");
    options.certs.clone_from(&certs);
    let gateway = suite.start(&options).await?;

    assert_eq!(viewer(&gateway, &trust, &lasting, endless)?.get("/healthz").await?.status, 200);
    assert!(viewer(&gateway, &trust, &over, endless)?.get("/healthz").await.is_err());
    let stranger = CertificateAuthority::new("strange CA", endless)?;
    assert!(viewer(&gateway, &trust, &stranger, endless)?.get("/healthz").await.is_err());
    let between = lasting.issue(&LeafSpec::client("between CA").purposes([]).authority())?;
    let between = CertificateAuthority::load(&between.cert_pem, &between.key_pem)?;
    assert!(viewer(&gateway, &trust, &between, endless)?.get("/healthz").await.is_err());
    let ended = until(now - time::Duration::minutes(1));
    assert!(viewer(&gateway, &trust, &lasting, ended)?.get("/healthz").await.is_err());
    for text in [
        "client CA CN=ended CA expired at ",
        "certificate expired: ",
        "this is the certificate of the client CA CN=ended CA",
        r#"issued by \"CN=strange CA\", which is no client CA"#,
        r#"\"CN=viewer\" is issued by \"CN=between CA\", which is no client CA, and which the client did not send"#,
        r#"the client's certificate is \"CN=viewer\""#,
    ] {
        poll::eventually(text, async || Ok(logged(&gateway, text).then_some(()))).await?;
    }
    assert!(gateway.metric("scalegate_handshakes_total{outcome=\"bad_certificate\"}").await? >= 2.0);

    let list = fs::read_to_string(certs.join("crl.pem"))?;
    fs::write(certs.join("crl.pem"), [list.trim_end(), &lasting.crl(&[], now + time::Duration::DAY)?].concat())?;
    wait_failing(&gateway, true).await?;
    let (_, status) = gateway.admin("/status").await?;
    assert!(status.contains("crl.pem: is not valid PEM: line "), "{status}");
    let text = "crl.pem: is not valid PEM: line ";
    poll::eventually(text, async || Ok(logged(&gateway, text).then_some(()))).await?;
    assert_eq!(viewer(&gateway, &trust, &lasting, endless)?.get("/healthz").await?.status, 200);
    fs::write(certs.join("crl.pem"), [list, lasting.crl(&[], endless.not_after)?].concat())?;
    wait_failing(&gateway, false).await?;
    assert_eq!(viewer(&gateway, &trust, &lasting, endless)?.get("/healthz").await?.status, 200);
    gateway.terminate().await
}
