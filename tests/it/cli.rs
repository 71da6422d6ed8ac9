//! `scalegate list`, `get`, `set` and `release` against a running gateway.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::binary;
use scalegate_tests::suite::{self, Shared};
use serde_json::Value;
use tokio::process::Command;

async fn scalegate(suite: &Shared, who: &str, arguments: &[&str]) -> Result<Output> {
    let certs = suite.certs();
    let client = |file: &str| certs.join("clients").join(file);
    let mut command = Command::new(binary("scalegate")?);
    command
        .args(arguments)
        .env("SCALEGATE_SERVER", format!("https://localhost:{}", suite.address().port()))
        .env("SCALEGATE_CA", certs.join("ca.pem"))
        .env("SCALEGATE_CERT", client(&format!("{who}.pem")))
        .env("SCALEGATE_KEY", client(&format!("{who}-key.pem")));
    command.output().await.context("cannot start scalegate")
}

fn answer(output: &Output) -> Result<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn a_deployment_is_listed_shown_set_and_released() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("cli").await?;
    deployment(&namespace, "web").label("tier", "front").create(&suite.kube().await?).await?;
    deployment(&namespace, "job").label("tier", "back").create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    suite.wait_seen(&namespace, "job").await?;
    let web = format!("{namespace}/web");

    let all = answer(&scalegate(&suite, "viewer", &["list", "-n", &namespace]).await?)?;
    let names = |list: &Value| list["items"].as_array().map(|all| all.iter().map(|one| one["name"].clone()).collect());
    assert_eq!(names(&all), Some(vec!["job".into(), "web".into()]));
    let front = answer(&scalegate(&suite, "viewer", &["list", "-n", &namespace, "-l", "tier in (front)"]).await?)?;
    assert_eq!(names(&front), Some(vec!["web".into()]));

    let dry = answer(&scalegate(&suite, "operator", &["set", &web, "2", "--dry-run"]).await?)?;
    assert_eq!(dry["target"]["replicas"], 2, "{dry}");
    let set = answer(&scalegate(&suite, "operator", &["set", &web, "2", "--reason", "launch"]).await?)?;
    assert_eq!((&set["target"]["reason"], &set["progress"]["accepted"]), (&"launch".into(), &true.into()), "{set}");
    suite.wait_ready(&suite.client("viewer")?, &namespace, "web", 2).await?;
    let shown = answer(&scalegate(&suite, "viewer", &["get", &web]).await?)?;
    assert_eq!(shown["spec"]["replicas"], 2, "{shown}");
    answer(&scalegate(&suite, "operator", &["release", &web]).await?)?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reasons_and_ends_with_a_failure() -> Result<()> {
    let suite = suite::shared().await?;
    let refused = scalegate(&suite, "stranger", &["get", "demo/web"]).await?;
    let text = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.contains("403 refused: no role of yours allows get") && text.contains("decisionId"), "{text}");
    assert!(refused.stdout.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_the_gateway_refuses_is_told_as_such() -> Result<()> {
    let suite = suite::shared().await?;
    let expired = scalegate(&suite, "expired", &["list"]).await?;
    let text = String::from_utf8(expired.stderr)?;
    assert_eq!(expired.status.code(), Some(1));
    assert!(text.contains("CertificateExpired"), "{text}");
    let other = Path::new("other-ca.pem");
    let server =
        scalegate(&suite, "viewer", &["list", "--ca", &suite.certs().join(other).display().to_string()]).await?;
    assert!(String::from_utf8(server.stderr)?.contains("invalid peer certificate"), "the server's");
    Ok(())
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_usage_errors() -> Result<()> {
    let suite = suite::shared().await?;
    for arguments in [
        &["get", "web"][..],
        &["get", "a/../b"],
        &["set", "demo/web", "-1"],
        &["set", "demo/web", "1.5"],
        &["set", "demo/web"],
    ] {
        let output = scalegate(&suite, "operator", arguments).await?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = scalegate(&suite, "viewer", &["list", "--server", "http://localhost"]).await?;
    assert!(String::from_utf8(output.stderr)?.contains("https://HOST:PORT"));
    Ok(())
}

#[tokio::test]
async fn what_others_wrote_cannot_reach_a_terminal() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("hostile").await?;
    let hostile = format!("\u{1b}]0;x\u{7}\u{1b}[2K\u{9b}31m\u{202e}\n{}", "x".repeat(10_000));
    let web = deployment(&namespace, "web").annotation("scalegate.dev/max-replicas", &hostile);
    web.create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let refused = scalegate(&suite, "operator", &["set", &format!("{namespace}/web"), "3"]).await?;
    let text = String::from_utf8(refused.stderr)?;
    assert!(text.starts_with("scalegate: 403 refused: ") && text.ends_with(")\n"), "{text}");
    assert!(text.contains(r"\u{1b}]0;x\u{7}\u{1b}[2K\u{9b}31m\u{202e}\nxxx"), "{text}");
    assert!(text.contains("xxx…"), "the gateway cuts reasons: {text}");
    assert!(text.len() < 3000 && text.lines().count() == 1, "{} bytes", text.len());

    let shown = scalegate(&suite, "operator", &["get", &format!("{namespace}/web")]).await?;
    assert!(shown.stdout.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)));
    answer(&shown)?;
    let log = std::fs::read_to_string(suite.gateway_log_path())?;
    let obeyed = |c: &char| *c != '\n' && scalegate::text::invisible(*c);
    assert_eq!(log.chars().find(obeyed), None, "of the log and the records");
    Ok(())
}
