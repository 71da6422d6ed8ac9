//! Streams as Server-Sent Events (WHATWG HTML, section 9.2): the name of an event says what its data is.

use bytes::Bytes;
use futures::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::problem::Problem;
use super::{HttpAnswer, response};
use crate::api::error::Error;
use crate::api::stream::{Stream, StreamItem};
use crate::api::view::ReplicasView;
use crate::listener::{BodyError, ResponseBody};

/// How many bytes of events are sent together, at least if there are as many.
const BATCH: usize = 16 << 10;
/// The most milliseconds after which a client reconnects.
const RECONNECT: u64 = 2_000;

/// The answer that carries `stream`, of the request with this id.
pub(super) fn answer(stream: Box<Stream>, request_id: Uuid) -> HttpAnswer {
    let batches = unfold(Some(stream), move |stream| async move {
        let mut stream = stream?;
        let (bytes, goes_on) = match stream.next().await? {
            Ok(item) => (batch(&item, &mut stream), true),
            Err(error) => (end(&error, &request_id), false),
        };
        Some((Ok::<_, BodyError>(Frame::data(bytes)), goes_on.then_some(stream)))
    });
    let mut answer = response(StatusCode::OK, "text/event-stream", Vec::new());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    *answer.body_mut() = ResponseBody::stream(StreamBody::new(batches));
    answer
}

/// `first`, and what else there is to say without waiting.
fn batch(first: &StreamItem, stream: &mut Stream) -> Bytes {
    let mut next = stream.ready();
    if let (StreamItem::Replicas(rendered), None) = (first, &next) {
        // All streams that show it share its bytes.
        return rendered.event(replicas).clone();
    }
    let mut text = Vec::new();
    write(&mut text, first);
    while let Some(item) = next {
        write(&mut text, &item);
        next = if text.len() < BATCH { stream.ready() } else { None };
    }
    text.into()
}

fn write(text: &mut Vec<u8>, item: &StreamItem) {
    match item {
        StreamItem::Replicas(rendered) => text.extend_from_slice(rendered.event(replicas)),
        StreamItem::Gone(name) => {
            let (kind, namespace, name) = (name.kind.as_str(), &name.namespace, &name.name);
            event(text, "gone", &json!({ "kind": kind, "namespace": namespace, "name": name }));
        }
        StreamItem::Synced { undecided } => event(text, "synced", &json!({ "undecided": undecided })),
        StreamItem::Heartbeat { age_seconds } => event(text, "heartbeat", &json!({ "ageSeconds": age_seconds })),
    }
}

fn replicas(view: &ReplicasView) -> Bytes {
    let mut text = Vec::new();
    event(&mut text, "replicas", view);
    text.into()
}

/// The last event, and when to reconnect.
fn end(error: &Error, request_id: &Uuid) -> Bytes {
    let mut text = Vec::new();
    if error.retry_after().is_some() {
        text.extend_from_slice(format!("retry: {}\n", fastrand::u64(RECONNECT / 4..=RECONNECT)).as_bytes());
    }
    event(&mut text, "end", &Problem::new(error, request_id));
    text.into()
}

/// One event. `serde_json` writes no line breaks, so the data fits on one line.
fn event<T: Serialize>(text: &mut Vec<u8>, name: &str, data: &T) {
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b"\ndata: ");
    // Views always serialize.
    let _ = serde_json::to_writer(&mut *text, data);
    text.extend_from_slice(b"\n\n");
}
