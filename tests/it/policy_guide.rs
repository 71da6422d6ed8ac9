//! The guide for authors of policies: its commands do what the page says, and its policies are those of `policies/guide`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use scalegate_tests::console::{Shell, blocks, section, walk};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::paths::{binary, repository};
use scalegate_tests::policies::copy;
use scalegate_tests::suite;

const PAGE: &str = "policies/README.md";
/// The section that needs a gateway.
const FIRST: &str = "A first policy";

/// The page as its test takes it: its program is the one under test, and what was measured is anything.
fn page() -> Result<String> {
    let text = fs::read_to_string(repository().join(PAGE))?;
    let text = text.replace("target/debug/scalegate", &binary("scalegate")?.display().to_string());
    Ok(text.lines().map(without_figures).collect::<Vec<_>>().join("\n"))
}

/// The line, with `…` for the figures of a table of times.
fn without_figures(line: &str) -> String {
    if !line.contains(" µs ") {
        return line.to_owned();
    }
    let is_figure = |word: &str| word.contains('.') && word.parse::<f64>().is_ok();
    line.split_whitespace().map(|word| if is_figure(word) { "…" } else { word }).collect::<Vec<_>>().join(" ")
}

/// What `target/dev/env` has of it.
fn environment(gateway: &Gateway, certs: &Path, policies: &Path) -> Vec<(&'static str, String)> {
    let file = |name: &str| certs.join(name).display().to_string();
    vec![
        ("SCALEGATE_POLICIES", policies.display().to_string()),
        ("SCALEGATE_CONFIG", file("no-contexts.yaml")),
        ("SCALEGATE_SERVER", format!("https://localhost:{}", gateway.address.port())),
        ("SCALEGATE_CA", file("ca.pem")),
        ("SCALEGATE_CERT", file("clients/operator.pem")),
        ("SCALEGATE_KEY", file("clients/operator-key.pem")),
    ]
}

#[tokio::test]
async fn the_first_policy_of_the_guide_decides_as_the_page_says() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("first-policy").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let mut options = suite.options("first-policy");
    options.policies = suite.directory("first-policy")?;
    copy("normal", &options.policies)?;
    let gateway = suite.start(&options).await?;
    suite::wait_ready(&gateway.client("viewer")?, &namespace, "web", 3).await?;

    let (section, _) = section(&page()?, FIRST)?;
    // The page's Deployment is in namespace demo.
    let section = section.replace("demo", &namespace);
    let environment = environment(&gateway, &options.certs, &options.policies);
    let (run, all) = walk(&mut Shell::start(&environment)?, PAGE, &section).await?;
    assert!(run == all && run > 4, "{run} of {all} blocks were run");
    gateway.terminate().await
}

#[tokio::test]
async fn every_other_command_of_the_guide_does_what_the_page_says() -> Result<()> {
    let (_, rest) = section(&page()?, FIRST)?;
    let (run, all) = walk(&mut Shell::start(&[])?, PAGE, &rest).await?;
    assert!(run == all && run > 8, "{run} of {all} blocks were run");
    Ok(())
}

#[test]
fn no_command_of_the_guide_escapes_its_test() -> Result<()> {
    let page = page()?;
    let begun = page.lines().filter(|line| line.trim_start().starts_with("```console")).count();
    assert_eq!(begun, blocks(&page)?.len(), "a block that is indented is not run");
    Ok(())
}

#[test]
fn the_guide_shows_the_policy_that_it_builds() -> Result<()> {
    let page = page()?;
    let shown = page.split("```rego\n").nth(1).and_then(|rest| rest.split("```").next()).context("no policy")?;
    assert_eq!(shown, fs::read_to_string(repository().join("policies/guide/first.rego"))?);
    let lines = shown.lines().filter(|line| !line.is_empty()).count();
    assert_eq!(lines, 10, "the page says that it has ten lines");
    Ok(())
}
