//! What a gateway gives one client at most.

use std::future::poll_fn;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Request;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::policies::{Deciding, copy_deciding};
use scalegate_tests::suite;
use tokio::time::timeout;

/// The streams of one connection.
const STREAMS: usize = 100;
/// What a client may send ahead on one connection, in bytes.
const WINDOW: usize = 65_535;
/// Longer than an answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_http2_connection_has_a_hundred_streams_and_sends_64_kib_ahead_on_all_of_them_together() -> Result<()> {
    let suite = suite::shared().await?;
    let stream = suite.client("operator")?.tls(b"h2").await?;
    let (mut sender, connection) = h2::client::Builder::new().handshake::<_, Bytes>(stream).await?;
    let connection = tokio::spawn(connection);
    let request = |method: &str, path: &str| Request::builder().method(method).uri(format!("https://localhost{path}"));
    let health = sender.send_request(request("GET", "/healthz").body(())?, true)?.0;
    assert_eq!(timeout(PATIENCE, health).await??.status(), 200);
    assert_eq!(sender.current_max_send_streams(), STREAMS);

    let mut bodies = Vec::new();
    for _ in 0..20 {
        sender = sender.ready().await?;
        let put = request("PUT", &suite::replicas("demo", "web")).header("content-type", "application/json");
        let (answer, mut body) = sender.send_request(put.body(())?, false)?;
        body.reserve_capacity(WINDOW);
        bodies.push((answer, body));
    }
    // The first stream that wants room gets all that there is.
    let first = timeout(PATIENCE, poll_fn(|cx| bodies[0].1.poll_capacity(cx))).await?;
    first.context("the stream has ended")??;
    let ahead: usize = bodies.iter().map(|(_, body)| body.capacity()).sum();
    assert_eq!(ahead, WINDOW);
    connection.abort();
    Ok(())
}

/// The nice values of a gateway's threads.
fn priorities(gateway: &Gateway) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{}/task", gateway.pid()))? {
        // A thread that has ended meanwhile has no file.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
        let (_, fields) = stat.rsplit_once(") ").context("a name in parentheses")?;
        all.push(fields.split(' ').nth(16).context("a nice value")?.parse()?);
    }
    ensure!(!all.is_empty(), "no threads");
    Ok(all)
}

#[tokio::test]
async fn what_is_decided_in_a_slot_leaves_the_processor_to_the_threads_that_serve() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("slots").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let mut options = suite.options("slots");
    options.policies = suite.directory("slots-policies")?;
    copy_deciding("normal", Deciding::Pooled, &options.policies)?;
    let gateway = suite.start(&options).await?;
    let before = priorities(&gateway)?;
    assert!(!before.contains(&10), "{before:?}");
    suite::wait_seen(&gateway.client("viewer")?, &namespace, "web").await?;
    let after = priorities(&gateway)?;
    assert!(after.contains(&10) && after.iter().filter(|nice| **nice == 0).count() > 1, "{after:?}");
    gateway.terminate().await
}
