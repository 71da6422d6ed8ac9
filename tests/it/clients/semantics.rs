//! What HTTP asks of every server: HEAD, `Expect: 100-continue`, and bodies that are there and empty.

use std::future::poll_fn;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use scalegate_tests::client::Connection;
use scalegate_tests::languages::Protocol;
use scalegate_tests::suite::{self, Shared};
use tokio::time::timeout;

use super::{Case, Want, attempt, check, check_over, tries, web};

/// Longer than an answer takes on a busy machine, shorter than the gateway waits for a body.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn head_has_the_head_of_get_and_no_body() -> Result<()> {
    let suite = suite::shared().await?;
    let web = web(&suite, "head").await?;
    let list = web.trim_end_matches("/web/replicas");
    let paths = [
        ("health", "/healthz"),
        ("all Deployments", "/v1/deployments"),
        ("a namespace's", list),
        ("replicas", &web),
        ("nothing", "/v1/nothing"),
    ];
    let operator = suite.client("operator")?;
    let http1 = heads(&suite, &paths, operator.http1().await?).await?;
    let http2 = heads(&suite, &paths, operator.http2().await?).await?;
    check_over("HEAD", &[(Protocol::Http1, &http1[..]), (Protocol::Http2, &http2[..])]).await
}

/// HEAD of each path is to have what GET has.
async fn heads(suite: &Shared, paths: &[(&str, &str)], mut connection: Connection) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (name, path) in paths {
        let get = connection.get(path).await?;
        let names =
            ["content-type", "etag", "cache-control"].into_iter().filter(|name| get.headers.contains_key(*name));
        let headers = names.map(|name| (name, get.header(name).to_owned())).collect();
        let length = get.headers.contains_key("content-length");
        let attempt = attempt(suite, path).with("method", "HEAD").tries(tries().min(10));
        let want = Want::HeadOf { status: get.status, length, headers };
        cases.push(Case { name: format!("HEAD of {name}"), attempt, want });
    }
    Ok(cases)
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_answered_without_its_body() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "expect").await?;
    let expecting = |name: &str, path: &str, first: u16, status: u16| {
        let put = attempt(&suite, path).with("method", "PUT").with("type", "application/json");
        let put = put.with("body", "length").with("size", 14).with("expect", first).tries(tries().min(10));
        Case { name: name.to_owned(), attempt: put, want: Want::Answer(status, None) }
    };
    let (good, wrong) = (format!("{path}?dryRun=true"), format!("{path}/"));
    let refused = || expecting("PUT to a wrong path", &wrong, 404, 404);
    let http1 = [expecting("PUT", &good, 100, 200), refused()];
    let http2 = [expecting("PUT", &good, 417, 417), refused()];
    check_over("Expect: 100-continue", &[(Protocol::Http1, &http1[..]), (Protocol::Http2, &http2[..])]).await
}

#[tokio::test]
async fn an_http2_stream_that_waits_for_100_continue_gets_it_or_a_final_status() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "continue").await?;
    let stream = suite.client("operator")?.tls(b"h2").await?;
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::put(format!("https://localhost{path}?dryRun=true"))
        .header("content-type", "application/json")
        .header("expect", "100-continue");
    let (mut response, mut body) = sender.send_request(request.body(())?, false)?;

    let first = timeout(PATIENCE, poll_fn(|context| response.poll_informational(context))).await;
    if let Some(interim) = first.context("neither 100 nor a final status came")? {
        assert_eq!(interim?.status(), StatusCode::CONTINUE);
        body.send_data(Bytes::from_static(br#"{"replicas":1}"#), true)?;
        assert_eq!(timeout(PATIENCE, response).await??.status(), StatusCode::OK);
    } else {
        assert_eq!(timeout(PATIENCE, response).await??.status(), StatusCode::EXPECTATION_FAILED);
    }
    Ok(())
}

#[tokio::test]
async fn a_body_without_bytes_is_no_body() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "empty").await?;
    let cases = ["none", "length", "stream", "trailers"].map(|framing| {
        let delete = attempt(&suite, &format!("{path}?dryRun=true")).with("method", Method::DELETE);
        let attempt = delete.with("body", framing).tries(tries().min(10));
        Case { name: format!("DELETE, empty body: {framing}"), attempt, want: Want::Answer(200, None) }
    });
    check("empty bodies", &cases).await
}
