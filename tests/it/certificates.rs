//! Development certificates that live in Secrets of the cluster.

use std::collections::BTreeMap;
use std::process::Output;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use scalegate_tests::paths::binary;
use scalegate_tests::suite::{self, Shared};
use serde_json::json;
use tokio::process::Command;

async fn certs(suite: &Shared, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary("scalegate")?);
    command
        .args(["dev-certs", "--kubeconfig"])
        .arg(suite.administrator())
        .args(arguments)
        .output()
        .await
        .context("cannot start scalegate")
}

async fn data(api: &Api<Secret>, name: &str) -> Result<BTreeMap<String, ByteString>> {
    api.get(name).await?.data.context("an empty Secret")
}

#[tokio::test]
async fn a_second_run_keeps_what_is_good_and_makes_what_is_missing() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("secrets").await?;
    let api: Api<Secret> = Api::namespaced(suite.kube().await?, &namespace);
    let arguments = ["--secrets", "dev", "--namespace", &namespace, "--server-san", "gate.example"];

    let first = certs(&suite, &arguments).await?;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let (server, clients) = (data(&api, "dev-tls").await?, data(&api, "dev-clients").await?);
    assert_eq!(server.keys().collect::<Vec<_>>(), ["ca.crt", "crl.pem", "tls.crt", "tls.key"]);
    assert_eq!(api.get("dev-tls").await?.type_.as_deref(), Some("kubernetes.io/tls"));
    for file in ["ca.pem", "ca-key.pem", "viewer.pem", "viewer-key.pem", "operator.pem", "crl.pem"] {
        assert!(clients.get(file).is_some_and(|content| !content.0.is_empty()), "{file}");
    }

    let second = certs(&suite, &arguments).await?;
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    let told = String::from_utf8(second.stdout)?;
    assert!(told.contains("\n0 made, "), "{told}");
    assert_eq!((data(&api, "dev-tls").await?, data(&api, "dev-clients").await?), (server.clone(), clients.clone()));

    let lost = Patch::Merge(json!({"data": {"viewer.pem": null}}));
    api.patch("dev-clients", &PatchParams::default(), &lost).await?;
    let third = certs(&suite, &arguments).await?;
    assert!(third.status.success(), "{}", String::from_utf8_lossy(&third.stderr));
    let made = data(&api, "dev-clients").await?;
    assert_ne!(made.get("viewer.pem"), clients.get("viewer.pem"));
    assert_eq!(made.get("ca.pem"), clients.get("ca.pem"), "the authority stays");
    assert_eq!(data(&api, "dev-tls").await?, server);
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_told() -> Result<()> {
    let suite = suite::shared().await?;
    let output = certs(&suite, &["--secrets", "dev", "--namespace", "nowhere"]).await?;
    let text = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("cannot read or write Secret dev-clients") && text.contains("nowhere"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_prefix_without_a_namespace_is_a_usage_error() -> Result<()> {
    let suite = suite::shared().await?;
    assert_eq!(certs(&suite, &["--secrets", "dev"]).await?.status.code(), Some(2));
    Ok(())
}
