//! What operators do, while 200 requests a second go on and clients follow: no request fails, and no follower misses anything.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scalegate_tests::follow::{Door, Followed, Follower};
use scalegate_tests::load::{Load, Report};
use scalegate_tests::paths::repository;
use scalegate_tests::suite::replicas;
use scalegate_tests::template::Template;
use serde_json::json;
use tokio::time::sleep;

use crate::cluster::{DEMO, GATEWAYS, RELEASE, client, count, deploy, eventually, helm, kubectl, leader, pods, run};
use crate::compilers::Compilers;

const RATE: u32 = 200;
const LOAD_TARGETS: u32 = 5;
/// How long the load goes on before and after, so that its calm is in the figures too.
const MARGIN: Duration = Duration::from_secs(5);

/// How long the API server answers nobody.
const OUTAGE: Duration = Duration::from_secs(15);

fn reads() -> Vec<Template> {
    vec![Template::get(DEMO, "web"); 100]
}

/// A hundred reads to a write, and the writes to one Deployment after the other, as people would who scale their own.
fn reads_and_writes() -> Vec<Template> {
    let targets = (0..LOAD_TARGETS).map(|number| Template::set(DEMO, &format!("load-{number}"), 1));
    targets.flat_map(|set| reads().into_iter().chain([set])).collect()
}

/// The Deployments that are written to.
async fn prepare() -> Result<()> {
    for number in 0..LOAD_TARGETS {
        let name = format!("load-{number}");
        kubectl(&["-n", DEMO, "delete", "deployment", &name, "--ignore-not-found"]).await?;
        let image = "--image=registry.k8s.io/pause:3.10";
        kubectl(&["-n", DEMO, "create", "deployment", &name, image, "--replicas=1"]).await?;
        let set = async || {
            Ok((client("operator")?.put(&replicas(DEMO, &name), &json!({"replicas": 1})).await?.status == 202)
                .then_some(()))
        };
        eventually("the Deployment to be seen", set).await?;
    }
    Ok(())
}

/// Clients that follow the Deployments over each protocol meanwhile.
struct Followers(Vec<(Door, Follower)>);

impl Followers {
    fn start() -> Result<Self> {
        let start = |door| Ok((door, Follower::start(vec![client("viewer")?], door, Followed::namespace(DEMO))));
        Ok(Self(Door::ALL.into_iter().map(start).collect::<Result<_>>()?))
    }

    /// Waits until each knows what a list shows.
    async fn agree(&self, what: &str) -> Result<()> {
        for (_, follower) in &self.0 {
            follower.agrees(what, &client("viewer")?).await?;
        }
        Ok(())
    }

    /// Says how often they began, and checks what ended their streams.
    fn report(&self) -> Result<()> {
        for (door, follower) in &self.0 {
            let picture = follower.picture();
            println!("   {door:?}: {} streams, which ended with {:?}", picture.streams, picture.ends);
            let is_known = |end: &String| ["draining", "policy_changed"].contains(&end.as_str());
            ensure!(picture.streams > 1 && picture.ends.iter().all(is_known), "{door:?}: {:?}", picture.ends);
        }
        Ok(())
    }
}

async fn under_load(
    what: &str,
    requests: Vec<Template>,
    followers: &Followers,
    action: impl AsyncFnOnce() -> Result<()>,
) -> Result<Report> {
    let load = Load::start(client("operator")?, requests, RATE);
    sleep(MARGIN).await;
    let done = action().await;
    sleep(MARGIN).await;
    let report = load.stop().await?;
    println!("== {what}\n{report}");
    for failure in &report.failures {
        println!("   {failure}");
    }
    done.with_context(|| what.to_owned())?;
    followers.agree(&format!("what was followed during the {what}")).await?;
    Ok(report)
}

async fn upgrade() -> Result<()> {
    deploy("scalegate:next", "normal").await?;
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = kubectl(&["-n", RELEASE, "get", "deployment", RELEASE, "-o", image]).await?;
    ensure!(image.ends_with("scalegate:next"), "it runs {image}");
    settled().await
}

async fn roll_back() -> Result<()> {
    helm(&["rollback", RELEASE, "-n", RELEASE, "--wait", "--timeout", "5m"]).await?;
    settled().await
}

/// Two gateways, and none that is about to end.
async fn settled() -> Result<()> {
    eventually("the old pods to end", async || {
        let all = kubectl(&["-n", RELEASE, "get", "pods", "-o", "name", "-l", GATEWAYS]).await?;
        Ok((all.lines().count() == 2 && pods().await?.len() == 2).then_some(()))
    })
    .await
}

async fn drain() -> Result<()> {
    let node = "jsonpath={.items[0].spec.nodeName}";
    let node = kubectl(&["-n", RELEASE, "get", "pods", "-l", GATEWAYS, "-o", node]).await?;
    let drained = kubectl(&["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=3m"]).await;
    let settled = match &drained {
        Ok(_) => settled().await,
        Err(_) => Ok(()),
    };
    kubectl(&["uncordon", &node]).await?;
    drained.and(settled.map(|()| String::new())).map(drop)
}

/// A new certificate for the server, and a new revocation list, under the same authority.
async fn rotate() -> Result<()> {
    let before = served_by_all(1).await?;
    for file in ["server.pem", "crl.pem"] {
        std::fs::remove_file(repository().join("certs/dev").join(file))?;
    }
    run("target/debug/certs", &["--out", "certs/dev"], &[]).await?;
    let count = pods().await?;
    deploy("scalegate:dev", "normal").await?;
    eventually("the new certificate", async || {
        let now = served_by_all(20).await?;
        Ok((now.len() == 1 && now != before).then_some(()))
    })
    .await?;
    ensure!(pods().await? == count, "a pod was restarted");
    Ok(())
}

/// The certificates that so many new connections are shown.
async fn served_by_all(connections: usize) -> Result<std::collections::BTreeSet<Vec<u8>>> {
    let mut shown = std::collections::BTreeSet::new();
    for _ in 0..connections {
        shown.insert(client("viewer")?.server_certificate().await?);
    }
    Ok(shown)
}

async fn change_leader() -> Result<()> {
    let old = leader().await?;
    kubectl(&["-n", RELEASE, "delete", "pod", &old, "--wait=false"]).await?;
    eventually("another leader", async || Ok(Some(leader().await?).filter(|new| *new != old))).await?;
    settled().await
}

/// Stops the API server for a while, and makes a change after it.
async fn outage() -> Result<()> {
    let selector = "node-role.kubernetes.io/control-plane";
    let node = kubectl(&["get", "nodes", "-l", selector, "-o", "jsonpath={.items[0].metadata.name}"]).await?;
    let signal = async |signal| run("docker", &["exec", &node, "pkill", signal, "-x", "kube-apiserver"], &[]).await;
    signal("-STOP").await?;
    sleep(OUTAGE).await;
    signal("-CONT").await?;
    eventually("the API server to answer", async || Ok(kubectl(&["get", "--raw", "/readyz"]).await.ok())).await?;
    let web = replicas(DEMO, "load-0");
    eventually("a set", async || {
        Ok((client("operator")?.put(&web, &json!({"replicas": 2})).await?.status == 202).then_some(()))
    })
    .await?;
    eventually("its count", async || Ok((count(DEMO, "load-0").await? == "2").then_some(()))).await
}

#[tokio::test]
async fn nothing_that_operators_do_costs_a_request_under_load() -> Result<()> {
    prepare().await?;
    let beside = std::env::var("BESIDE").unwrap_or_default();
    ensure!(["", "compilers"].contains(&beside.as_str()), "BESIDE is {beside}: it takes compilers, or nothing");
    let mut compilers = (beside == "compilers").then(Compilers::start);
    let followers = Followers::start()?;
    let reports = [
        ("upgrade to a new image", under_load("upgrade", reads_and_writes(), &followers, upgrade).await?),
        ("rollback", under_load("rollback", reads_and_writes(), &followers, roll_back).await?),
        ("drain of a node", under_load("drain", reads_and_writes(), &followers, drain).await?),
        (
            "new server certificate and revocation list",
            under_load("rotation", reads_and_writes(), &followers, rotate).await?,
        ),
        ("deletion of the leader", under_load("leader", reads_and_writes(), &followers, change_leader).await?),
        ("outage of the API server, reads alone", under_load("outage", reads(), &followers, outage).await?),
    ];
    if let Some(compilers) = &mut compilers {
        compilers.check()?;
    }
    println!("\n| while | requests | failed | longest time without an answer |\n|---|---|---|---|");
    for (what, report) in &reports {
        println!("| {what} | {} | {} | {} ms |", report.sent(), report.failed(), report.gap().as_millis());
    }
    followers.report()?;
    for (what, report) in &reports {
        assert_eq!(report.failed(), 0, "{what}: {:?}", report.failures);
    }
    Ok(())
}
