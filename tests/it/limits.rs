//! Limits that a caller sees: of requests in a second, and of a connection's age.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use scalegate::proto::v1::ListPoliciesRequest;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::follow::{Door, Event, Followed};
use scalegate_tests::poll;
use scalegate_tests::suite;
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt;

/// Longer than an answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_rate_limited_client_gets_a_retry_time_at_both_doors() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = suite.options("rate");
    options.requests_per_second = 16;
    let gateway = suite.start(&options).await?;
    let (viewer, mut operator) = (gateway.client("viewer")?, gateway.client("operator")?.http2().await?);
    let (mut connection, mut service) = (viewer.http1().await?, viewer.replica_service().await?);
    let refused = loop {
        let answer = connection.get("/healthz").await?;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"), "{}", refused.json());
    assert_eq!(refused.header("retry-after"), "1");
    // A list counts as sixteen, so it finds too few as long as any request was made in the last second.
    let list = loop {
        let list = connection.get("/v1/deployments").await?;
        if list.status != 200 {
            break list;
        }
    };
    assert_eq!((list.status, list.code().as_str()), (429, "rate_limited"));
    let status = loop {
        if let Err(status) = service.list_policies(ListPoliciesRequest {}).await {
            break status;
        }
    };
    let details = status.get_error_details();
    let code = details.error_info().map(|info| info.reason.as_str());
    assert_eq!((status.code(), code), (Code::ResourceExhausted, Some("rate_limited")));
    let wait = details.retry_info().and_then(|info| info.retry_delay).context("no delay")?;
    assert_eq!(wait, Duration::from_secs(1));

    assert_eq!(operator.get("/healthz").await?.status, 200, "another client is not limited");
    poll::eventually("the client to be served again", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok((connection.get("/healthz").await?.status == 200).then_some(()))
    })
    .await?;
    assert!(gateway.metric("scalegate_requests_total{route=\"healthz\",outcome=\"rate_limited\"}").await? >= 1.0);
    gateway.terminate().await
}

#[tokio::test]
async fn an_old_connection_is_ended_by_its_next_answer_and_its_streams_go_on() -> Result<()> {
    let suite = suite::exclusive().await?;
    let (namespace, kube) = (suite.namespace("age").await?, suite.kube().await?);
    let mut options = suite.options("age");
    options.max_connection_age = Some(2);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    let (mut http1, idle, mut http2) = (viewer.http1().await?, viewer.http1().await?, viewer.http2().await?);
    let all = Followed::namespace(&namespace);
    let mut streams = Vec::new();
    for door in Door::ALL {
        let mut events = viewer.follow(door, &all).await?;
        ensure!(events.next().await.context("no event")?? == Event::Synced, "{door:?}");
        streams.push((door, events));
    }
    let old = "scalegate_connections_ended_total{reason=\"old\"}";
    poll::eventually("six old connections", async || Ok((gateway.metric(old).await? >= 6.0).then_some(()))).await?;
    // Nothing is sent on an idle connection of HTTP/1.1: its next request might be under way.
    ensure!(idle.is_open() && http1.is_open(), "an idle connection was closed");
    let last = http1.get("/healthz").await?;
    assert_eq!((last.status, last.header("connection")), (200, "close"));
    poll::eventually("the connection to end", async || Ok((!http1.is_open()).then_some(()))).await?;
    poll::eventually("GOAWAY", async || Ok((!http2.is_open()).then_some(()))).await?;
    ensure!(http2.get("/healthz").await.is_err(), "HTTP/2 goes on behind GOAWAY");
    deployment(&namespace, "web").create(&kube).await?;
    for (door, events) in &mut streams {
        let event = timeout(PATIENCE, events.next()).await?.context("the stream has ended")??;
        ensure!(matches!(event, Event::Replicas(..)), "{door:?}: {event:?}");
    }
    gateway.terminate().await
}
