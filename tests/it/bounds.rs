//! What a gateway gives one client at most.

use std::fs::{read_dir, read_to_string};
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

/// A thread of a gateway.
#[derive(Debug)]
struct Thread {
    name: String,
    nice: i32,
    /// How often it began to wait.
    waits: u64,
}

impl Thread {
    fn all(gateway: &Gateway) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for thread in read_dir(format!("/proc/{}/task", gateway.pid()))? {
            let thread = thread?.path();
            // A thread that has ended meanwhile has no file.
            let (Ok(stat), Ok(status)) = (read_to_string(thread.join("stat")), read_to_string(thread.join("status")))
            else {
                continue;
            };
            let (name, fields) = stat.rsplit_once(") ").context("a name in parentheses")?;
            let (_, name) = name.split_once('(').context("a name in parentheses")?;
            let nice = fields.split(' ').nth(16).context("a nice value")?.parse()?;
            let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            all.push(Self { name: name.to_owned(), nice, waits: waits.context("waits")?.trim().parse()? });
        }
        ensure!(!all.is_empty(), "no threads");
        Ok(all)
    }

    /// Those for handshakes.
    fn handshakes(gateway: &Gateway) -> Result<Vec<Self>> {
        Ok(Self::all(gateway)?.into_iter().filter(|thread| thread.name == "handshakes").collect())
    }
}

/// The nice values of a gateway's threads.
fn priorities(gateway: &Gateway) -> Result<Vec<i32>> {
    Ok(Thread::all(gateway)?.iter().map(|thread| thread.nice).collect())
}

#[tokio::test]
async fn handshakes_leave_the_processor_to_the_threads_that_serve() -> Result<()> {
    let suite = suite::exclusive().await?;
    let gateway = suite.start(&suite.options("handshake-threads")).await?;
    let waits = |threads: &[Thread]| threads.iter().map(|thread| thread.waits).sum::<u64>();
    let before = Thread::handshakes(&gateway)?;
    assert!(!before.is_empty() && before.iter().all(|thread| thread.nice == 5), "{before:?}");
    for _ in 0..10 {
        assert_eq!(gateway.client("stranger")?.get("/healthz").await?.status, 200);
    }
    let after = Thread::handshakes(&gateway)?;
    // For work, which is what they get.
    assert!(waits(&after) > waits(&before), "{before:?}, {after:?}");
    gateway.terminate().await
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
