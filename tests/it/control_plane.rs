//! The harness itself: what every other test stands on.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use scalegate_tests::fixtures::{deployment, wait_for};
use scalegate_tests::paths::{binary, repository};
use scalegate_tests::poll;
use scalegate_tests::suite;

#[tokio::test]
async fn a_deployment_of_three_becomes_three_ready_pods() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("pods").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    wait_for(&deployments, "web", "three ready pods", |deployment: &Deployment| {
        deployment.status.as_ref().and_then(|status| status.ready_replicas) == Some(3)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn make_dev_tells_how_to_reach_it_and_leaves_no_process_however_it_ends() -> Result<()> {
    // Nobody but a terminal signals `make` and its program together.
    for (by_make, signal) in [(true, Signal::TERM), (true, Signal::KILL), (false, Signal::TERM), (false, Signal::KILL)]
    {
        let directory = tempfile::tempdir()?;
        let mut dev = if by_make { make_dev(directory.path())? } else { dev(directory.path())? };
        let mut dev = dev.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let env = poll::eventually("`make dev` to be up", async || {
            ensure!(dev.try_wait()?.is_none(), "it has ended");
            Ok(std::fs::read_to_string(directory.path().join("env")).ok().filter(|text| text.ends_with('\n')))
        })
        .await?;
        for variable in ["KUBECONFIG", "SCALEGATE_URL", "SCALEGATE_ADMIN_URL", "SCALEGATE_CERTS", "SCALEGATE_POLICIES"]
        {
            assert!(env.contains(&format!("export {variable}='")), "no {variable} in {env}");
        }
        let programs = program_ids(directory.path())?;
        assert_eq!(programs.len(), 6, "etcd, three of Kubernetes, KWOK and the gateway");

        kill_process(Pid::from_raw(i32::try_from(dev.id())?).unwrap(), signal)?;
        dev.wait()?;
        poll::eventually("every program to end", async || {
            Ok(programs.iter().all(|pid| test_kill_process(*pid).is_err()).then_some(()))
        })
        .await?;
    }
    Ok(())
}

fn dev(directory: &Path) -> Result<Command> {
    let mut dev = Command::new(binary("dev")?);
    dev.arg(directory).env_remove("MAKELEVEL");
    Ok(dev)
}

/// `make` with the repository's recipe, for the program under test and without what builds it.
fn make_dev(directory: &Path) -> Result<Command> {
    let makefile = std::fs::read_to_string(repository().join("Makefile"))?;
    let recipe = makefile.split("\ndev: ").nth(1).and_then(|rest| rest.lines().nth(1)).context("no recipe of dev")?;
    let called = format!("'{}' '{}'", binary("dev")?.display(), directory.display());
    ensure!(recipe.contains("target/debug/dev"), "{recipe}");
    // Its shell, and how it is called.
    let shell = makefile.lines().filter(|line| line.starts_with("SHELL") || line.starts_with(".SHELLFLAGS"));
    let shell: Vec<_> = shell.collect();
    let file = directory.join("Makefile");
    std::fs::write(&file, format!("{}\ndev:\n{}\n", shell.join("\n"), recipe.replace("target/debug/dev", &called)))?;
    let mut make = Command::new("make");
    make.arg("-f").arg(file).arg("dev").env_remove("MAKEFLAGS");
    Ok(make)
}

/// The process ids of all programs that were started with their files below `directory`.
fn program_ids(directory: &Path) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(program_ids(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "pid") {
            found.extend(Pid::from_raw(std::fs::read_to_string(path)?.parse()?));
        }
    }
    Ok(found)
}
