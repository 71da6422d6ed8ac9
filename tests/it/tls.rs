//! Who gets in.

use std::fs;
use std::process::Command;

use anyhow::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scalegate_tests::client::Client;
use scalegate_tests::paths::binary;
use scalegate_tests::suite;
use serde_json::json;

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
    let place = format!("crl.pem: is no valid PEM: line {}: it resembles a BEGIN or END line", crl.lines().count());
    assert!(told.contains(&place), "{told}");
    Ok(())
}
