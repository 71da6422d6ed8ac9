//! The requests that clients send.

use anyhow::{Context, Result, ensure};
use scalegate_tests::client::Client;
use scalegate_tests::suite::replicas;
use tokio::task::JoinSet;

use super::fleet::{Entry, Kind};
use super::subject::Subject;

/// How many requests wait on each connection.
const STREAMS: usize = 100;

/// How much a walk through a list returned.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) pages: u64,
    pub(crate) items: usize,
}

/// Walks through the list at `path`, page by page over one connection.
pub(crate) async fn walk(client: &Client, path: &str) -> Result<Walk> {
    let mut connection = client.http2().await?;
    let (mut walk, mut next) = (Walk::default(), String::new());
    loop {
        let answer = connection.get(&format!("{path}{next}")).await?;
        ensure!(answer.status == 200, "a page of a list was answered with {}", answer.status);
        let page = answer.json();
        ensure!(page["undecided"] == 0, "there were {} Deployments without a verdict", page["undecided"]);
        walk.pages += 1;
        walk.items += page["items"].as_array().context("a page without items")?.len();
        match page["continue"].as_str() {
            Some(token) => next = format!("&continue={token}"),
            None => return Ok(walk),
        }
    }
}

/// Requests that wait for a version that their target never reaches.
pub(crate) struct Waiters(JoinSet<Result<()>>);

impl Waiters {
    /// Sends requests for the last `count` targets.
    pub(crate) async fn start(subject: &Subject, count: usize) -> Result<Self> {
        let client = subject.client("viewer")?;
        let mut waiting = JoinSet::new();
        let targets: Vec<_> = subject.server.fleet().entries(Kind::Targets).iter().rev().take(count).collect();
        for targets in targets.chunks(STREAMS) {
            let connection = client.http2().await?;
            for target in targets {
                let (path, mut connection) = (unreached(target), connection.share().context("HTTP/2 is shared")?);
                waiting.spawn(async move {
                    let answer = connection.get(&path).await?;
                    let code = answer.code();
                    ensure!(code == "version_not_reached", "a waiter was answered with {} {code}", answer.status);
                    Ok(())
                });
            }
        }
        Ok(Self(waiting))
    }

    /// Waits until each request is answered.
    pub(crate) async fn end(mut self) -> Result<()> {
        while let Some(ended) = self.0.join_next().await {
            ended.context("a waiter panicked")??;
        }
        Ok(())
    }
}

/// A read of a target that waits for the generation after its current one.
fn unreached(target: &Entry) -> String {
    let version = format!("{:08x}-7000-4000-8000-000000000002:5", target.number);
    format!("{}?atLeastVersion={version}", replicas(&target.namespace, &target.name))
}
