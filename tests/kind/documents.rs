//! The commands of the pages for operators, and of README.md's section on KIND, do what the pages say.

use std::fs;

use anyhow::{Result, ensure};
use scalegate_tests::console::{Shell, section, walk};
use scalegate_tests::paths::repository;
use scalegate_tests::suite::replicas;

use crate::cluster::{DEMO, client, eventually, kubeconfig, kubectl};

/// In this order, in one terminal: the first installs what the last removes.
const PAGES: [&str; 3] = ["docs/install.md", "docs/operations.md", "docs/upgrades.md"];
/// What the pages make and remove again.
const NAMESPACES: [&str; 3] = ["shop-scalegate", "shop", "shop-restored"];

async fn clean_up() -> Result<()> {
    for namespace in NAMESPACES {
        kubectl(&["delete", "namespace", namespace, "--ignore-not-found"]).await?;
    }
    Ok(())
}

/// A shell that reaches the cluster.
fn shell() -> Result<Shell> {
    Shell::start(&[("KUBECONFIG", kubeconfig().display().to_string())])
}

#[tokio::test]
async fn every_command_of_the_operators_pages_does_what_the_page_says() -> Result<()> {
    // An earlier run may have ended halfway.
    clean_up().await?;
    let mut shell = shell()?;
    for page in PAGES {
        let (run, all) = walk(&mut shell, page, &fs::read_to_string(repository().join(page))?).await?;
        ensure!(run > all / 2, "most of {page} is not run");
    }
    let left = kubectl(&[&["get", "namespaces", "--ignore-not-found", "-o", "name"], &NAMESPACES[..]].concat()).await?;
    ensure!(left.is_empty(), "the pages leave {left} behind");
    Ok(())
}

#[tokio::test]
async fn the_first_steps_on_kind_do_what_the_readme_says() -> Result<()> {
    // As it is when nobody has tried anything yet.
    let web = client("operator")?.delete(&replicas(DEMO, "web")).await?;
    ensure!([200, 404].contains(&web.status), "{}", web.json());
    kubectl(&["-n", DEMO, "scale", "deployment", "web", "--replicas=3"]).await?;
    eventually("3 ready pods", async || {
        let view = client("viewer")?.get(&replicas(DEMO, "web")).await?.json();
        Ok((view["progress"]["ready"] == true && view["status"]["readyReplicas"] == 3).then_some(()))
    })
    .await?;
    let (section, _) = section(&fs::read_to_string(repository().join("README.md"))?, "On KIND")?;
    let (run, _) = walk(&mut shell()?, "README.md", &section).await?;
    ensure!(run > 1, "the section is not run");
    Ok(())
}
