//! A client that opens streams and lists, and does not read them.

use anyhow::{Context, Result};
use scalegate_tests::follow::{Door, Followed};
use scalegate_tests::poll;
use scalegate_tests::suite;
use tokio::io::AsyncWriteExt;

use crate::slow_readers::{ask, large_list, narrow, narrow_http2, pipelined};

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_one_that_reads_is_not() -> Result<()> {
    let suite = suite::exclusive().await?;
    let kube = suite.kube().await?;
    let (gateway, namespace, path) = large_list(&suite, &kube, |options| options.write_timeout = Some(2)).await?;
    let operator = gateway.client("operator")?;
    let mut reading = gateway.client("viewer")?.follow(Door::Http1, &Followed::namespace(&namespace)).await?;

    let mut pipelining = narrow(&operator, gateway.address, b"http/1.1").await?;
    pipelining.write_all(&pipelined(&path)).await?;
    // A stream, whose snapshot is more than the protocol lets the gateway send ahead, and a list.
    let multiplexed = narrow_http2(&gateway, "operator").await?;
    let _answer = ask(&multiplexed, &format!("{path}?watch=true")).await?;
    let list = narrow_http2(&gateway, "operator").await?;
    let _other = ask(&list, &path).await?;

    poll::eventually("the connections to be closed", async || {
        let closed = gateway.metric("scalegate_connections_ended_total{reason=\"unread\"}").await?;
        Ok((closed >= 3.0).then_some(()))
    })
    .await?;
    poll::eventually("the streams to end", async || {
        Ok((gateway.metric("scalegate_streams").await? <= 1.0).then_some(()))
    })
    .await?;
    let first = futures::StreamExt::next(&mut reading).await.context("the stream has ended")?;
    assert!(first.is_ok());
    gateway.terminate().await
}
