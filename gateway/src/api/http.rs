//! The door for HTTP/1.1 and HTTP/2 with JSON.

mod body;
mod events;
mod openapi;
mod problem;
mod request;
mod route;
mod version;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, request::Parts};
use hyper::body::Body;
use serde::Serialize;
use tracing::Instrument;
use uuid::Uuid;

use crate::clients::{Admission, Exceeded};
use crate::identity::IdentityError;
use crate::listener::{Peer, ResponseBody};
use crate::policy::{Caller, Release, Selection, Set};
use crate::replicas::Monitor;

pub use self::openapi::text as openapi;

use self::body::RequestBody;
use self::problem::Problem;
use self::request::{Query, SetBody};
use self::route::{Route, Routes};
use self::version::VersionView;
use super::Limits;
use super::call::{Call, Observer, REQUEST_ID};
use super::error::Error;
use super::fields;
use super::grpc;
use super::health::Health;
use super::operation::{Answer, ListRequest, Operation, WriteRequest};
use super::operations::Operations;
use super::origin::refuse_other_sites;
use super::view::ReplicasView;

/// Serves [`Operations`] over HTTP.
pub struct HttpApi {
    routes: Routes,
    operations: Arc<Operations>,
    health: Health,
    limits: Limits,
    observer: Observer,
}

type HttpAnswer = Response<ResponseBody>;

impl HttpApi {
    /// A door to `operations`.
    pub fn new(operations: Arc<Operations>, monitor: Monitor, limits: Limits, observer: Observer) -> Self {
        Self { routes: Routes::new(), operations, health: Health::new(monitor), limits, observer }
    }

    /// Answers one request of `peer`, whatever happens.
    pub async fn answer<B>(
        &self,
        peer: &Peer,
        admission: Result<&Admission, Exceeded>,
        request: Request<B>,
    ) -> HttpAnswer
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let call = Call::begin(&self.observer, request.headers());
        let route = self.routes.find(request.uri().path());
        let name = route.as_ref().map_or("none", |route| route.name(request.method()));

        let (head, body) = request.into_parts();
        let mut body = RequestBody::new(&head, body);
        if let Ok(admission) = admission
            && body.is_complete()
            && let Some(answer) = self.repeat(call.caller(peer, admission), route.as_ref(), &head)
        {
            call.ended(&peer.account, &self.observer, name, None);
            return identified(answer, &call.id);
        }
        let call = call.traced(head.method.as_str(), head.uri.path());
        let limit = self.limits.request_timeout;
        let result = match admission {
            Ok(admission) => {
                // Boxed, since tasks of connections and streams are moved, and most requests are repeated.
                let caller = call.caller(peer, admission);
                let work = Box::pin(self.dispatch(caller, route, &head, &mut body));
                match tokio::time::timeout(limit, work.instrument(call.span.clone())).await {
                    Ok(result) => result,
                    Err(_) if body.is_complete() => Err(Error::DeadlineExceeded { limit }),
                    Err(_) => Err(Error::Timeout { limit }),
                }
            }
            Err(exceeded) => Err(exceeded.into()),
        };
        // A refused request waits for the rest of its body only if it has a place to do so.
        let waiting = admission.is_err().then(|| peer.account.linger());
        if !matches!(waiting, Some(Err(_))) {
            body.discard().await;
        }
        drop(waiting);

        call.ended(&peer.account, &self.observer, name, result.as_ref().err());
        let answer = result.unwrap_or_else(|error| refuse(&error, &call.id));
        let mut answer = identified(answer, &call.id);
        if !body.is_complete() && head.version < Version::HTTP_2 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if head.method == Method::HEAD { without_body(answer) } else { answer }
    }

    /// Answers a plain read without a body whose verdict was given before. It never waits, so it needs no deadline, and
    /// logs nothing, so it needs no span.
    fn repeat(&self, caller: Result<Caller, IdentityError>, route: Option<&Route>, head: &Parts) -> Option<HttpAnswer> {
        let (Ok(caller), Some(Route::Replicas { workload: Ok(workload) })) = (caller, route) else { return None };
        if head.method != Method::GET || head.uri.query().is_some() {
            return None;
        }
        request::host(head.version, &head.headers).and_then(|()| grpc::refuse_unserved(head)).ok()?;
        refuse_other_sites(head).ok()?;
        render(self.operations.repeat(&caller, workload.clone())?, caller.origin.request_id).ok()
    }

    async fn dispatch<B>(
        &self,
        caller: Result<Caller, IdentityError>,
        route: Option<Route>,
        head: &Parts,
        body: &mut RequestBody<B>,
    ) -> Result<HttpAnswer, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let caller = caller?;
        request::host(head.version, &head.headers)?;
        grpc::refuse_unserved(head)?;
        refuse_other_sites(head)?;
        let route = route.ok_or(Error::NoSuchRoute)?;
        let query = Query::parse(head.uri.query())?;
        if matches!(head.method, Method::GET | Method::HEAD) {
            body.none().await?;
            return match read(route, query)? {
                Read::Operation(operation) => {
                    render(self.operations.perform(&caller, operation).await?, caller.origin.request_id)
                }
                Read::Description => {
                    Ok(response(StatusCode::OK, "application/json", openapi::document().as_bytes().to_vec()))
                }
                Read::Version => json(StatusCode::OK, &VersionView::CURRENT),
                Read::Health => {
                    let (healthy, view) = self.health.view();
                    json(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &view)
                }
            };
        }
        let change = self.change(route, head, query, body).await?;
        render(self.operations.perform(&caller, change).await?, caller.origin.request_id)
    }

    /// What a request that changes something asks for.
    async fn change<B>(
        &self,
        route: Route,
        head: &Parts,
        mut query: Query,
        body: &mut RequestBody<B>,
    ) -> Result<Operation, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let Route::Replicas { workload } = route else {
            return Err(Error::MethodNotAllowed { allow: "GET, HEAD" });
        };
        match head.method {
            Method::PUT => {
                let (target, precondition) = (workload?, request::precondition(&head.headers)?);
                let wait = query.wait("wait", self.limits.request_timeout)?;
                let idempotency_key = request::idempotency_key(&head.headers)?;
                let dry_run = query.only_flag("dryRun")?;
                if dry_run && wait.is_some() {
                    return Err(fields::invalid_parameter("wait", "makes no sense with dryRun: nothing is stored"));
                }
                let SetBody { replicas, reason } =
                    request::set_body(&head.headers, body, self.limits.max_body_bytes).await?;
                let action = Set { target, replicas, reason };
                let change = WriteRequest { action, precondition, dry_run };
                Ok(Operation::Set { change, wait, idempotency_key })
            }
            Method::DELETE => {
                body.none().await?;
                let (target, precondition) = (workload?, request::precondition(&head.headers)?);
                request::no_idempotency_key(&head.headers)?;
                let dry_run = query.only_flag("dryRun")?;
                Ok(Operation::Release(WriteRequest { action: Release { target }, precondition, dry_run }))
            }
            _ => Err(Error::MethodNotAllowed { allow: "GET, HEAD, PUT, DELETE" }),
        }
    }
}

/// What a request that changes nothing asks for.
enum Read {
    Operation(Operation),
    /// Needs no permit.
    Health,
    /// Needs no permit.
    Version,
    /// Needs no permit.
    Description,
}

fn read(route: Route, mut query: Query) -> Result<Read, Error> {
    let operation = match route {
        Route::Replicas { workload } if query.flag("watch")? => Operation::Watch(Selection::One(workload?)),
        Route::Workloads { kind, namespace } if query.flag("watch")? => Operation::Watch(Selection::Many {
            kind,
            namespace: namespace?,
            selector: query.selector("labelSelector")?,
        }),
        Route::Replicas { workload } => {
            let (workload, at_least) = (workload?, query.version("atLeastVersion")?);
            Operation::Get { workload, at_least }
        }
        Route::History { workload } => Operation::History { workload: workload? },
        Route::Workloads { kind, namespace } => Operation::List(ListRequest {
            kind,
            namespace: namespace?,
            cursor: query.take("continue"),
            selector: query.selector("labelSelector")?,
            limit: query.limit("limit")?,
        }),
        Route::Policies => Operation::ListPolicies,
        Route::Version => {
            query.nothing()?;
            return Ok(Read::Version);
        }
        Route::Description => {
            query.nothing()?;
            return Ok(Read::Description);
        }
        Route::Health => {
            query.nothing()?;
            return Ok(Read::Health);
        }
    };
    query.nothing()?;
    Ok(Read::Operation(operation))
}

fn render(answer: Answer, request_id: Uuid) -> Result<HttpAnswer, Error> {
    match answer {
        Answer::Replicas(view) | Answer::Ready(view) => versioned(&view, StatusCode::OK),
        Answer::Accepted(view) => versioned(&view, StatusCode::ACCEPTED),
        Answer::History(history) => json(StatusCode::OK, &history),
        Answer::List(list) => json(StatusCode::OK, &list),
        Answer::Stream(stream) => Ok(events::answer(stream, request_id)),
        Answer::Policies(status) => json(StatusCode::OK, &status),
    }
}

/// A view with its version as `ETag`.
fn versioned(view: &ReplicasView, status: StatusCode) -> Result<HttpAnswer, Error> {
    let mut answer = json(status, view)?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", view.version)) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

/// `answer`, with the request's id.
fn identified(mut answer: HttpAnswer, id: &Uuid) -> HttpAnswer {
    if let Ok(value) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

/// An answer to HEAD: the headers of the answer to GET, and no body, which over HTTP/2 hyper would send.
fn without_body(answer: HttpAnswer) -> HttpAnswer {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, ResponseBody::default())
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<HttpAnswer, Error> {
    let body = serde_json::to_vec(value).map_err(|error| Error::Internal { cause: error.to_string() })?;
    Ok(response(status, "application/json", body))
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> HttpAnswer {
    let mut answer = Response::new(ResponseBody::from(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The problem document of `error`.
fn refuse(error: &Error, request_id: &Uuid) -> HttpAnswer {
    let body = serde_json::to_vec(&Problem::new(error, request_id)).unwrap_or_default();
    let mut answer = response(error.kind().http, "application/problem+json", body);
    if let Error::MethodNotAllowed { allow } = error {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some(seconds) = error.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}
