//! Policies are swapped again and again while a client reads.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use scalegate_tests::gateway::Gateway;
use scalegate_tests::load::percentile;
use scalegate_tests::{policies, poll};
use serde_json::Value;

use crate::case::Case;
use crate::cluster::Cluster;
use crate::measure::Server;
use crate::report::verdict;

/// How often the policies are swapped.
const SWAPS: usize = 200;
/// How long reads are measured without a swap.
const STEADY: Duration = Duration::from_secs(10);

/// What reads took without swaps and beside them. As a text: a sentence.
#[derive(Debug)]
pub(crate) struct Swapped {
    reads: usize,
    steady: Duration,
    beside: Duration,
}

/// Swaps the policies of `gateway` between the two variants of the development policy, and reads all the while. A read
/// that fails is an error.
pub(crate) async fn measure(cluster: &Cluster, gateway: &Gateway, server: &Server) -> Result<Swapped> {
    let until_over = async |over: &mut dyn FnMut() -> bool| -> Result<Vec<Duration>> {
        let (request, mut connection) = (Case::ReadHttp1.request(""), server.connect(Case::ReadHttp1).await?);
        let mut times = Vec::new();
        while !over() {
            let began = Instant::now();
            server.ask(Case::ReadHttp1, &request, &mut connection).await?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times)
    };
    let start = Instant::now();
    let steady = until_over(&mut || start.elapsed() > STEADY).await?;
    let swapping = swaps(cluster, gateway);
    tokio::pin!(swapping);
    let (ended, mut outcome) = (std::cell::Cell::new(false), Ok(()));
    let reading = async { until_over(&mut || ended.get()).await };
    let swapping = async {
        outcome = swapping.await;
        ended.set(true);
    };
    let (beside, ()) = tokio::join!(reading, swapping);
    outcome?;
    let beside = beside.context("a read beside swaps")?;
    ensure!(!steady.is_empty() && !beside.is_empty(), "no reads");
    Ok(Swapped { reads: beside.len(), steady: percentile(&steady, 99), beside: percentile(&beside, 99) })
}

async fn swaps(cluster: &Cluster, gateway: &Gateway) -> Result<()> {
    for number in 0..SWAPS {
        let variant = if number % 2 == 0 { "freeze" } else { "normal" };
        swap(gateway, || policies::copy(variant, &cluster.policies)).await?;
    }
    Ok(())
}

/// Changes the policies of `gateway` by `change`, and waits until others serve.
pub(crate) async fn swap(gateway: &Gateway, change: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = serving(gateway).await?;
    change()?;
    poll::eventually("the swapped policies to serve", async || Ok((serving(gateway).await? != before).then_some(())))
        .await
}

/// The digest of the policies that serve.
async fn serving(gateway: &Gateway) -> Result<String> {
    let (_, status) = gateway.admin("/status").await?;
    let status: Value = serde_json::from_str(&status)?;
    Ok(status["policies"]["digest"].as_str().context("/status names no policies")?.to_owned())
}

impl std::fmt::Display for Swapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [steady, beside] = [self.steady, self.beside].map(|time| time.as_secs_f64() * 1e6);
        let (ratio, reads) = (beside / steady, self.reads);
        let verdict = verdict(ratio, 1.5);
        write!(
            f,
            "- {SWAPS} swaps of the policies beside {reads} reads, of which none failed: p99 {beside:.0} µs, without swaps \
             {steady:.0} µs, {ratio:.2} times; the aim is 1.5 at most: {verdict}"
        )
    }
}
