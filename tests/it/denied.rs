//! The list of clients that are refused even though their certificates are valid.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use scalegate_certs::read::Certificate;
use scalegate_tests::client::Client;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::poll;
use scalegate_tests::suite;

/// Waits until the counter of reloads with this outcome exceeds `more_than`.
async fn reloaded(gateway: &Gateway, outcome: &str, more_than: f64) -> Result<()> {
    let metric = format!("scalegate_tls_reloads_total{{outcome=\"{outcome}\"}}");
    poll::eventually(&metric, async || Ok((gateway.metric(&metric).await? > more_than).then_some(()))).await
}

async fn reloads(gateway: &Gateway, outcome: &str) -> Result<f64> {
    gateway.metric(&format!("scalegate_tls_reloads_total{{outcome=\"{outcome}\"}}")).await
}

/// Writes the list, and waits until it is in force, or is not taken.
async fn write(gateway: &Gateway, list: &Path, text: &str, outcome: &str) -> Result<()> {
    let before = reloads(gateway, outcome).await?;
    fs::write(list, text)?;
    reloaded(gateway, outcome, before).await
}

/// The alert by which a client is refused.
async fn alert(client: &Client) -> String {
    client.get("/healthz").await.map_or_else(|error| format!("{error:#}"), |answer| answer.status.to_string())
}

#[tokio::test]
async fn a_denied_client_is_refused_and_its_connections_end_and_a_bad_list_changes_nothing() -> Result<()> {
    let suite = suite::exclusive().await?;
    let directory = suite.directory("denied-list")?;
    let list = directory.join("denied.yaml");
    fs::write(&list, "identities: []\n")?;
    let mut options = suite.options("denied");
    options.denied = Some(list.clone());
    let gateway = suite.start(&options).await?;
    let (viewer, operator) = (gateway.client("viewer")?, gateway.client("operator")?);
    let (mut open, mut streams) = (viewer.http1().await?, viewer.http2().await?);
    let mut other = operator.http1().await?;
    assert_eq!((open.get("/healthz").await?.status, streams.get("/healthz").await?.status), (200, 200));

    write(&gateway, &list, "identities: ['uri:spiffe://scalegate.test/viewer']\n", "ok").await?;
    poll::eventually("the connections to end", async || Ok((!open.is_open() && !streams.is_open()).then_some(())))
        .await?;
    ensure!(alert(&viewer).await.contains("AccessDenied"), "{}", alert(&viewer).await);
    assert_eq!(other.get("/healthz").await?.status, 200);
    assert!(gateway.metric("scalegate_connections_ended_total{reason=\"denied\"}").await? >= 2.0);
    let told = "uri:spiffe://scalegate.test/viewer is on the list of denied clients";
    poll::eventually(told, async || Ok(gateway.log().iter().any(|line| line.to_string().contains(told)).then_some(())))
        .await?;

    // What is not understood does not let anybody in.
    for bad in ["", "identities: [viewer]\n", "serials: [x]\n", "- viewer\n"] {
        write(&gateway, &list, bad, "failed").await?;
        ensure!(alert(&viewer).await.contains("AccessDenied"), "{bad:?}: {}", alert(&viewer).await);
        let (_, status) = gateway.admin("/status").await?;
        assert!(status.contains("denied.yaml: is not a valid list of denied clients"), "{bad:?}: {status}");
        write(&gateway, &list, "identities: ['uri:spiffe://scalegate.test/viewer']\n", "ok").await?;
    }

    // By the serial number, as the audit records have it: one certificate of a client.
    let serial = Certificate::from_pem(&fs::read_to_string(options.certs.join("clients/operator.pem"))?)?.serial;
    write(&gateway, &list, &format!("serials: ['{serial}']\n"), "ok").await?;
    ensure!(alert(&operator).await.contains("AccessDenied"), "{}", alert(&operator).await);
    poll::eventually("the operator's connection to end", async || Ok((!other.is_open()).then_some(()))).await?;
    assert_eq!(alert(&viewer).await, "200");
    gateway.terminate().await
}
