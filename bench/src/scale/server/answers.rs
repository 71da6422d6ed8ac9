//! What the API server answers: pages of lists, streams of changes, the Lease.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::super::collection::Change;
use super::super::fleet::Kind;
use super::Shared;

type Body = UnsyncBoxBody<Bytes, Infallible>;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/scalegate/leases";
/// How many changes are looked up at a time.
const PART: usize = 256;

pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path.starts_with(LEASES) {
        let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
        return lease(&shared, &head.method, &body);
    }
    let kind = Kind::ALL.into_iter().find(|kind| kind.path() == path);
    let Some(kind) = kind.filter(|_| head.method == Method::GET) else {
        shared.writes.fetch_add(1, Ordering::Relaxed);
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "nothing can be written here");
    };
    let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let query: HashMap<_, _> = query.into_owned().collect();
    let number = |name: &str| query.get(name).and_then(|text| text.parse().ok());
    if query.contains_key("watch") {
        return follow(shared, kind, number("resourceVersion"), number("timeoutSeconds"));
    }
    // The sender lives in `shared`.
    let _ = shared.open.subscribe().wait_for(|open| *open).await;
    list(&shared, kind, number("limit"), query.get("continue").map(String::as_str))
}

fn lease(shared: &Shared, method: &Method, body: &[u8]) -> Response<Body> {
    let mut lease = shared.lease();
    if *method == Method::GET {
        return document(StatusCode::OK, lease.read().to_string());
    }
    match serde_json::from_slice(body).ok().and_then(|wanted| lease.write(wanted)) {
        Some(stored) => document(StatusCode::OK, stored.to_string()),
        None => refuse(StatusCode::CONFLICT, "another candidate was first"),
    }
}

/// A page. A token is the version that the list began at, and the place where the page begins.
fn list(shared: &Shared, kind: Kind, limit: Option<u64>, token: Option<&str>) -> Response<Body> {
    let collection = shared.collection(kind);
    let begun = token.and_then(|token| token.split_once(':'));
    let (version, place) = begun.map_or_else(
        || (collection.version(), 0),
        |(version, place)| (version.parse().unwrap_or_default(), place.parse().unwrap_or_default()),
    );
    let entries = shared.fleet.entries(kind);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let versions = collection.versions(place, limit);
    let end = place + versions.len();
    let next = if end < entries.len() { format!("{version}:{end}") } else { String::new() };
    let (api_version, name) = kind.of_list();
    let mut text = format!(
        r#"{{"kind":"{name}","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{version}","continue":"{next}"}},"items":["#
    );
    for (entry, version) in entries[place..end].iter().zip(versions) {
        if !text.ends_with('[') {
            text.push(',');
        }
        shared.fleet.render(&mut text, kind, entry, version);
    }
    text.push_str("]}");
    document(StatusCode::OK, text)
}

/// An open watch.
struct Stream {
    shared: Arc<Shared>,
    kind: Kind,
    position: u64,
    /// Changes that are on their way.
    waiting: VecDeque<Change>,
    news: watch::Receiver<u64>,
    /// When it is closed, as its client wished.
    ends: Instant,
    expired: bool,
}

fn follow(shared: Arc<Shared>, kind: Kind, position: Option<u64>, seconds: Option<u64>) -> Response<Body> {
    let news = shared.collection(kind).news();
    let ends = Instant::now() + Duration::from_secs(seconds.unwrap_or(60));
    let position = position.unwrap_or_default();
    let stream = Stream { shared, kind, position, waiting: VecDeque::new(), news, ends, expired: false };
    let events = stream::unfold(stream, |mut stream| async { Some((stream.next().await?, stream)) });
    let body = StreamBody::new(events.map(|event| Ok(Frame::data(Bytes::from(event)))));
    Response::new(body.boxed_unsync())
}

impl Stream {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.expired {
                return None;
            }
            if let Some(change) = self.waiting.pop_front() {
                self.position = change.version;
                return Some(self.event(change));
            }
            self.news.mark_unchanged();
            match self.shared.collection(self.kind).after(self.position, PART) {
                None => {
                    self.expired = true;
                    let gone = status(StatusCode::GONE, "Expired", "too old resource version");
                    return Some(format!("{}\n", json!({ "type": "ERROR", "object": gone })));
                }
                Some(changes) if changes.is_empty() => {
                    timeout_at(self.ends, self.news.changed()).await.ok()?.ok()?;
                }
                Some(changes) => self.waiting.extend(changes),
            }
        }
    }

    fn event(&self, change: Change) -> String {
        let entry = &self.shared.fleet.entries(self.kind)[change.place];
        let mut text = String::from(r#"{"type":"MODIFIED","object":"#);
        self.shared.fleet.render(&mut text, self.kind, entry, change.version);
        let _ = writeln!(text, "}}");
        text
    }
}

fn refuse(code: StatusCode, message: &str) -> Response<Body> {
    let reason = if code == StatusCode::CONFLICT { "Conflict" } else { "InternalError" };
    document(code, status(code, reason, message).to_string())
}

fn status(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    })
}

fn document(code: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = code;
    response
}
