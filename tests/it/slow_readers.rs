//! Clients that are slow to read a large answer, or do not read it at all.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use hyper::body::Bytes;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::{Gateway, GatewayOptions};
use scalegate_tests::poll;
use scalegate_tests::suite::{self, Exclusive};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::modules::{entry, handmade, write_set};

/// As many Deployments as one page of a list shows.
const DEPLOYMENTS: usize = 500;
/// As many lists, asked for at once over HTTP/1.1, as the kernel does not keep for a client that does not read: it takes
/// up to 4 MiB from a sender.
const PIPELINED: usize = 40;
/// What a slow reader takes at once, and how long it then rests.
const SIP: (usize, Duration) = (64 * 1024, Duration::from_millis(5));
/// How long a slow reader takes nothing at first: by then everything that the kernel and the protocol keep is full.
const NAP: Duration = Duration::from_secs(2);
/// What the kernel keeps for a slow reader, and what HTTP/2 lets the gateway send ahead.
const WINDOW: u32 = 16 * 1024;

/// A gateway with a list of some hundred kilobytes, and the path of the list.
pub(crate) async fn large_list(
    suite: &Exclusive,
    kube: &kube::Client,
    adjust: impl FnOnce(&mut GatewayOptions),
) -> Result<(Gateway, String, String)> {
    let namespace = suite.namespace("slow").await?;
    let create = (0..DEPLOYMENTS).map(|n| {
        let name = format!("deployment-{n:03}-{}", "x".repeat(40));
        let one = deployment(&namespace, &name).replicas(0).paused().create(kube);
        async move { one.await.map(drop) }
    });
    futures::stream::iter(create.map(Ok::<_, anyhow::Error>)).try_for_each_concurrent(16, |one| one).await?;
    // Whether it allows is not the question here, and it is sure to do so in time.
    let policies = suite.directory("slow-policies")?;
    let module = handmade("(i32.const 4096)")?;
    write_set(&policies, &json!({"modules": [entry("all", &module)]}).to_string(), &[("all.wasm".into(), module)])?;
    let mut options = suite.options("slow");
    options.policies = policies;
    adjust(&mut options);
    let gateway = suite.start(&options).await?;
    let path = format!("/v1/namespaces/{namespace}/deployments");
    let viewer = gateway.client("viewer")?;
    poll::eventually("the whole list", async || {
        Ok((names(&viewer.get(&path).await?.body)? == DEPLOYMENTS).then_some(()))
    })
    .await?;
    Ok((gateway, namespace, path))
}

/// How many Deployments a list shows.
fn names(body: &[u8]) -> Result<usize> {
    let list: Value = serde_json::from_slice(body).context("the list is not whole")?;
    Ok(list["items"].as_array().context("no items")?.len())
}

/// What a list shows, without the ages in it, which differ from one list to the next.
fn ageless(body: &[u8]) -> Result<Value> {
    let mut list: Value = serde_json::from_slice(body).context("the list is not whole")?;
    for item in list["items"].as_array_mut().context("no items")? {
        item["ageSeconds"].take();
    }
    Ok(list)
}

/// A connection whose client lets the kernel keep little.
pub(crate) async fn narrow(client: &Client, address: SocketAddr, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(WINDOW)?;
    client.tls_over(socket.connect(address).await?, alpn).await
}

/// Requests for lists, of which the last one ends the connection.
pub(crate) fn pipelined(path: &str) -> Vec<u8> {
    let get = |connection| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
    (1..PIPELINED).map(|_| get("keep-alive")).chain([get("close")]).collect::<String>().into_bytes()
}

/// The bodies of lists that are read slowly over HTTP/1.1.
async fn sipped_http1(gateway: &Gateway, path: &str) -> Result<Vec<Vec<u8>>> {
    let mut stream = narrow(&gateway.client("viewer")?, gateway.address, b"http/1.1").await?;
    stream.write_all(&pipelined(path)).await?;
    tokio::time::sleep(NAP).await;
    let (mut bodies, mut unread, mut sip) = (Vec::new(), Vec::new(), vec![0; SIP.0]);
    loop {
        let length = stream.read(&mut sip).await?;
        if length == 0 {
            ensure!(unread.is_empty(), "the connection has ended within an answer");
            return Ok(bodies);
        }
        unread.extend(&sip[..length]);
        while let Some((body, rest)) = first_body(&unread)? {
            bodies.push(body);
            unread = rest;
        }
        tokio::time::sleep(SIP.1).await;
    }
}

/// The body of the first of some answers over HTTP/1.1 and what follows it, once it is as long as its head says.
fn first_body(answers: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some(end) = answers.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answers[..end])?.to_lowercase();
    ensure!(head.starts_with("http/1.1 200 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    let bodies = &answers[end + 4..];
    Ok(bodies.split_at_checked(length.parse()?).map(|(body, rest)| (body.to_vec(), rest.to_vec())))
}

/// A connection over HTTP/2 whose client lets the gateway send little ahead on each stream, and much on all together.
pub(crate) async fn narrow_http2(gateway: &Gateway, client: &str) -> Result<SendRequest<Bytes>> {
    let stream = narrow(&gateway.client(client)?, gateway.address, b"h2").await?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(16 << 20);
    let (sender, connection) = builder.handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A request whose answer's body is read by the caller.
pub(crate) async fn ask(sender: &SendRequest<Bytes>, path: &str) -> Result<http::Response<h2::RecvStream>> {
    let mut sender = sender.clone().ready().await?;
    let request = Request::get(format!("https://localhost{path}")).body(())?;
    let answer = sender.send_request(request, true)?.0.await?;
    ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
    Ok(answer)
}

/// The body of a list that is read slowly over HTTP/2.
async fn sipped_http2(gateway: &Gateway, path: &str) -> Result<Vec<u8>> {
    let answer = ask(&narrow_http2(gateway, "viewer").await?, path).await?;
    let length: usize = answer.headers().get("content-length").context("no length")?.to_str()?.parse()?;
    let mut body = answer.into_body();
    tokio::time::sleep(NAP).await;
    let mut all = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        all.extend(&part);
        tokio::time::sleep(SIP.1).await;
        body.flow_control().release_capacity(part.len())?;
    }
    ensure!(all.len() == length, "{} of {length} bytes", all.len());
    Ok(all)
}

#[tokio::test]
async fn a_large_list_arrives_whole_however_slowly_it_is_read_and_keeps_nobody_waiting() -> Result<()> {
    let suite = suite::exclusive().await?;
    let kube = suite.kube().await?;
    let (gateway, namespace, path) = large_list(&suite, &kube, |_| ()).await?;
    let result = check(&gateway, &path).await;
    // Other tests look at all Deployments that there are.
    let deployments: Api<Deployment> = Api::namespaced(kube, &namespace);
    deployments.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    result?;
    gateway.terminate().await.context("a drain, with readers that have stopped")
}

async fn check(gateway: &Gateway, path: &str) -> Result<()> {
    let viewer = gateway.client("viewer")?;
    let quick = viewer.get(path).await?.body;
    assert!(quick.len() * PIPELINED > 7 << 20, "a list of {} bytes is too small", quick.len());

    // One that does not read at all, on connections and then on streams of one connection: fewer lists than the fifteen
    // that a client may have under way.
    let operator = gateway.client("operator")?;
    let mut stopped = Vec::new();
    for _ in 0..5 {
        let mut stream = narrow(&operator, gateway.address, b"http/1.1").await?;
        stream.write_all(&pipelined(path)).await?;
        stopped.push(stream);
    }
    let multiplexed = narrow_http2(gateway, "operator").await?;
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(ask(&multiplexed, path).await?);
    }

    let (http1, http2) = tokio::try_join!(sipped_http1(gateway, path), sipped_http2(gateway, path))?;
    assert_eq!(http1.len(), PIPELINED);
    let expected = ageless(&quick)?;
    for body in http1.iter().chain([&http2]) {
        assert!(ageless(body)? == expected, "another list");
    }
    // Not even on the connection whose other streams stand still.
    let beside = body_of(ask(&multiplexed, "/healthz").await?).await?;
    assert!(!beside.is_empty());
    assert_eq!(names(&viewer.get(path).await?.body)?, DEPLOYMENTS);
    Ok(())
}

async fn body_of(answer: http::Response<h2::RecvStream>) -> Result<Vec<u8>> {
    let (mut body, mut all) = (answer.into_body(), Vec::new());
    while let Some(part) = body.data().await {
        all.extend(part?);
    }
    Ok(all)
}
