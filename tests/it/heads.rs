//! Heads of requests that are too large: they are refused at once, and no other stream or connection notices.

mod floods;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::suite::{self, Shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longer than an answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than the 16 KiB of a head.
const LARGE: usize = 20 * 1024;

/// A head that is larger than one may be.
struct Head {
    what: &'static str,
    path: String,
    fields: Vec<(String, String)>,
}

/// Heads that are too large, each in its own way; all ask for `path`.
fn too_large(path: &str) -> [Head; 4] {
    let many = |count, length| (0..count).map(|n| (format!("x-{n}"), "y".repeat(length))).collect();
    let head = |what, fields| Head { what, path: path.to_owned(), fields };
    [
        head("one large field", vec![("x-large".to_owned(), "y".repeat(LARGE))]),
        head("a large cookie", vec![("cookie".to_owned(), format!("session={}", "y".repeat(LARGE)))]),
        head("many small fields", many(400, 60)),
        Head { what: "a large path", path: format!("{path}?labelSelector={}", "y".repeat(LARGE)), fields: Vec::new() },
    ]
}

impl Head {
    fn http1(&self) -> Vec<u8> {
        let mut head = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n", self.path);
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        [head.as_bytes(), b"\r\n"].concat()
    }

    fn http2(&self) -> Result<Request<()>> {
        let mut request = Request::get(format!("https://localhost{}", self.path));
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        Ok(request.body(())?)
    }
}

/// A Deployment that the gateway shows: the path of its replicas.
async fn web(suite: &Shared, namespace: &str) -> Result<String> {
    let namespace = suite.namespace(namespace).await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    Ok(suite::replicas(&namespace, "web"))
}

/// All that comes when `bytes` are sent over HTTP/1.1, until the gateway ends the connection.
async fn answers(client: &Client, bytes: &[u8]) -> Result<String> {
    let mut stream = client.tls(b"http/1.1").await?;
    // The gateway may end the connection before all of it is sent.
    let _ = stream.write_all(bytes).await;
    let mut answers = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answers)).await.context("the connection does not end")??;
    Ok(String::from_utf8(answers)?)
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_over_http1_and_ends_its_connection_alone() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "heads1").await?;
    let operator = suite.client("operator")?;
    let mut beside = operator.http1().await?;
    let refused = "HTTP/1.1 431 ";
    for head in too_large(&path) {
        let alone = answers(&operator, &head.http1()).await.context(head.what)?;
        ensure!(alone.starts_with(refused) && alone.contains("connection: close"), "{}: {alone}", head.what);
        // Behind a good request, which is answered first.
        let good = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let both = answers(&operator, &[good, head.http1()].concat()).await.context(head.what)?;
        ensure!(both.starts_with("HTTP/1.1 200 ") && both.contains(refused), "{}: {both}", head.what);
        assert_eq!(beside.get(&path).await?.status, 200, "{}", head.what);
    }
    for (what, bytes) in [
        ("a head without an end", [b"GET /healthz HTTP/1.1\r\nX-Large: ".to_vec(), vec![b'y'; 1 << 20]].concat()),
        ("a path without an end", [b"GET /".to_vec(), vec![b'y'; 1 << 20]].concat()),
        ("a method without an end", vec![b'G'; 1 << 20]),
        ("fields without an end", [b"GET / HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(1 << 16)].concat()),
    ] {
        let answer = answers(&operator, &bytes).await.context(what)?;
        ensure!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
        assert_eq!(beside.get(&path).await?.status, 200, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431_over_http2_and_ends_its_stream_alone() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "heads2").await?;
    let (mut sender, connection) = h2::client::handshake(suite.client("operator")?.tls(b"h2").await?).await?;
    tokio::spawn(connection);
    // A request that is under way all the while.
    let put = || {
        let put = Request::put(format!("https://localhost{path}?dryRun=true"));
        put.header("content-type", "application/json").body(())
    };
    let (answer, mut body) = sender.send_request(put()?, false)?;
    for head in too_large(&path) {
        sender = sender.ready().await?;
        let (refused, _) = sender.send_request(head.http2()?, true)?;
        let refused = timeout(PATIENCE, refused).await.context(head.what)?.context(head.what)?;
        assert_eq!(refused.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{}", head.what);
        sender = sender.ready().await?;
        let (good, _) = sender.send_request(Request::get(format!("https://localhost{path}")).body(())?, true)?;
        assert_eq!(timeout(PATIENCE, good).await??.status(), StatusCode::OK, "after {}", head.what);
    }
    // Trailers count as a head does.
    sender = sender.ready().await?;
    let (refused, mut trailing) = sender.send_request(put()?, false)?;
    trailing.send_data(Bytes::from_static(br#"{"replicas":1}"#), false)?;
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("x-large"), HeaderValue::from_str(&"y".repeat(LARGE))?)]);
    trailing.send_trailers(trailers)?;
    // The body was whole before them, so the answer may come first.
    let ended = timeout(PATIENCE, refused).await.context("large trailers: no end")?;
    let is_clean = match &ended {
        Ok(answer) => [200, 431].contains(&answer.status().as_u16()),
        Err(error) => error.is_reset(),
    };
    ensure!(is_clean, "large trailers: {ended:?}");

    body.send_data(Bytes::from_static(br#"{"replicas":1}"#), true)?;
    assert_eq!(timeout(PATIENCE, answer).await??.status(), StatusCode::OK, "the request that was under way");
    Ok(())
}

#[tokio::test]
async fn a_head_just_below_the_limit_is_served() -> Result<()> {
    let suite = suite::shared().await?;
    let operator = suite.client("operator")?;
    for mut connection in [operator.http1().await?, operator.http2().await?] {
        let large = "y".repeat(15 * 1024);
        let answer = connection.request(http::Method::GET, "/healthz", &[("x-large", &large)], Vec::new()).await?;
        assert_eq!(answer.status, 200);
    }
    Ok(())
}
