//! What the gateway answers.

use std::error::Error;

use bytes::Bytes;
use http::header::{DATE, HOST};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::tls::refused;
use super::{PATIENCE, Report};
use crate::text::cut;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// The most bytes of a foreign text that are shown.
const MAX_SHOWN_BYTES: usize = 500;
/// How far two clocks may differ, in seconds, before certificates suffer from it.
const CLOCK: i64 = 60;
/// An age of the cache, in seconds, that is worth a warning.
const OLD: f64 = 30.0;

/// One answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn text(&self, field: &str) -> String {
        cut(self.body[field].as_str().unwrap_or_default(), MAX_SHOWN_BYTES).into_owned()
    }

    /// A refusal in a line.
    fn problem(&self) -> String {
        format!("{} {}: {}", self.status.as_u16(), self.text("code"), self.text("detail"))
    }
}

/// Asks for the version, the gateway's health, and one Deployment.
pub(super) async fn ask(server: &Uri, stream: TlsStream<TcpStream>, report: &mut Report) {
    let host = server.authority().map(ToString::to_string).unwrap_or_default();
    let opened = timeout(PATIENCE, http1::handshake(TokioIo::new(stream))).await;
    let Ok(Ok((mut sender, connection))) = opened else {
        return report.fail("identity", "the connection ended", "the gateway's log has the cause");
    };
    let connection = tokio::spawn(connection);
    let version = match send(&mut sender, &host, "/v1/version").await {
        Ok(version) => version,
        Err(cause) => {
            // With TLS 1.3 a client learns only now that its certificate was refused, and the connection knows why.
            let alert = match connection.await {
                Ok(Err(reason)) => alert(&reason),
                _ => None,
            };
            let remedy = "a proxy in between, or a gateway that stops: its log has the cause".to_owned();
            let (detail, remedy) = alert.map_or((cause, remedy), refused);
            return report.fail("identity", detail, remedy);
        }
    };
    identity(&version, report);
    clock(&version.headers, report);
    versions(&version, report);
    for (path, examine) in [("/healthz", health as fn(&Answer, &mut Report)), ("/v1/deployments?limit=1", policy)] {
        match send(&mut sender, &host, path).await {
            Ok(answer) => examine(&answer, report),
            Err(cause) => {
                return report.fail("answers", cause, "try again; the gateway may have been stopped meanwhile");
            }
        }
    }
}

async fn send(sender: &mut SendRequest<Empty<Bytes>>, host: &str, path: &str) -> Result<Answer, String> {
    let request = Request::get(path).header(HOST, host).body(Empty::new()).map_err(|error| error.to_string())?;
    let answering = async {
        let (head, body) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    timeout(PATIENCE, answering).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}

/// The alert by which the gateway ended the connection, if it did.
fn alert(error: &hyper::Error) -> Option<rustls::AlertDescription> {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.find_map(|cause| match cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref() {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    })
}

fn identity(answer: &Answer, report: &mut Report) {
    const STEP: &str = "identity";
    if !answer.headers.contains_key("x-request-id") {
        let detail = format!("{} without x-request-id: it is not the gateway that answers", answer.status);
        return report.fail(STEP, detail, "a proxy ends TLS in between: it must pass TLS through");
    }
    match answer.text("code").as_str() {
        "identity_refused" => {
            report.fail(STEP, answer.problem(), "have the certificate issued as the detail says");
        }
        _ => report.ok(STEP, "the gateway accepts the certificate"),
    }
}

fn clock(headers: &HeaderMap, report: &mut Report) {
    const STEP: &str = "clock";
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    let there = date.and_then(|date| rfc2822::parse(&date.replace("GMT", "+0000")).ok());
    let Some(there) = there.map(|date| date.timestamp()) else { return };
    let ahead = Timestamp::now().as_second() - there.as_second();
    if ahead.abs() > CLOCK {
        let which = if ahead > 0 { "ahead of" } else { "behind" };
        let detail = format!("this machine's clock is {} s {which} the gateway's", ahead.abs());
        report.fail(STEP, detail, "set one of the two by NTP: certificates and overrides go by them");
    } else {
        report.ok(STEP, "as the gateway's");
    }
}

fn versions(answer: &Answer, report: &mut Report) {
    const STEP: &str = "version";
    const OWN: &str = env!("CARGO_PKG_VERSION");
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    match (answer.status, answer.text("version").as_str()) {
        (StatusCode::NOT_FOUND, _) => {
            let detail = format!("this client is {OWN}; the gateway is older than `GET /v1/version`");
            report.warn(STEP, detail, "upgrade the gateway, or use the client of its version");
        }
        (StatusCode::OK, there) if minor(there) == minor(OWN) => {
            report.ok(STEP, format!("client {OWN}, gateway {there}"));
        }
        (StatusCode::OK, there) => {
            let detail = format!("this client is {OWN}, the gateway {there}");
            report.warn(STEP, detail, "use a client of the gateway's minor version");
        }
        _ => report.warn(STEP, answer.problem(), "see the detail"),
    }
}

fn health(answer: &Answer, report: &mut Report) {
    const STEP: &str = "cache";
    let age = answer.body["kubernetes"]["ageSeconds"].as_f64();
    match (answer.status, age) {
        (StatusCode::OK, Some(age)) if age < OLD => {
            report.ok(STEP, format!("confirmed by the API server {age:.1} s ago"));
        }
        (_, Some(age)) => {
            let detail =
                format!("the API server last confirmed it {age:.0} s ago: reads are old, and changes are refused");
            report.warn(STEP, detail, "the operator finds the cause in the gateway's log and in its alerts");
        }
        _ => report.fail(STEP, answer.problem(), "see the detail"),
    }
}

fn policy(answer: &Answer, report: &mut Report) {
    const STEP: &str = "policy";
    let items = answer.body["items"].as_array();
    match (answer.status, items) {
        (StatusCode::OK, Some(items)) => match items.first() {
            Some(item) => {
                let name = |field: &str| cut(item[field].as_str().unwrap_or_default(), MAX_SHOWN_BYTES).into_owned();
                report.ok(STEP, format!("you may get {}/{}", name("namespace"), name("name")));
            }
            None => report.fail(
                STEP,
                "the policies let you get no Deployment",
                "ask the platform team for a role; `scalegate whoami` shows the id and groups that it would be given to",
            ),
        },
        (StatusCode::TOO_MANY_REQUESTS, _) => report.warn(STEP, answer.problem(), "ask less often"),
        _ => report.fail(STEP, answer.problem(), "the operator finds the cause by the request's id in the gateway's log"),
    }
}
