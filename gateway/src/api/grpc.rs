//! The door for gRPC: HTTP/2 with content type `application/grpc`, on the connections that HTTP comes on.

mod convert;
mod health;
mod message;
mod service;
mod status;
mod timeout;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, Version, request::Parts};
use http_body_util::Full;
use hyper::body::{Bytes, Frame, Incoming};
use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder;
use tower_service::Service;
use tracing::Instrument;

use crate::clients::{Admission, Exceeded};
use crate::identity::IdentityError;
use crate::listener::{Peer, ResponseBody};
use crate::policy::Caller;
use crate::proto;
use crate::proto::v1::replica_service_server::ReplicaServiceServer;
use crate::replicas::Monitor;
use crate::shutdown::Shutdown;

use super::Limits;
use super::call::{Call, Observer, REQUEST_ID};
use super::error::Error;
use super::operations::Operations;
use super::origin::refuse_other_sites;
use super::stream::Deadline;

use self::service::ReplicaDoor;

/// The header with the encoding of messages, of which only `identity` is taken.
const ENCODING: &str = "grpc-encoding";
/// The header with the encodings of messages that are taken, which tonic adds where it refuses one.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// One service: what answers its requests.
type Serve = Box<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The name of reflection in metrics.
const REFLECTION: &str = "grpc.reflection";
/// The longest message of health and reflection, in bytes: a name.
const MAX_NAME: usize = 4096;

/// Serves [`Operations`], health and reflection over gRPC.
pub struct GrpcApi {
    services: Vec<(&'static str, Serve)>,
    shutdown: Shutdown,
    limits: Limits,
    observer: Observer,
}

/// A body that is cut off once `end` completes.
struct Until {
    body: Body,
    end: BoxFuture<'static, ()>,
}

impl hyper::body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// What a service must know of a request beside its message.
#[derive(Clone)]
struct Asked {
    caller: Caller,
    call: Call,
    /// When a stream ends, if the client says so.
    deadline: Option<Deadline>,
    /// What went wrong, for the log and the metrics.
    failure: Arc<Mutex<Option<Error>>>,
}

impl GrpcApi {
    /// A door to `operations`. Health says `NOT_SERVING` once `shutdown` is triggered.
    ///
    /// # Errors
    ///
    /// When the descriptors that reflection shows cannot be read, which the tests of the crate see.
    pub fn new(
        operations: Arc<Operations>,
        monitor: Monitor,
        shutdown: Shutdown,
        limits: Limits,
        observer: Observer,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let descriptors = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // The details of errors.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        let services = vec![
            serve(ReplicaServiceServer::new(ReplicaDoor::new(operations, limits.request_timeout))),
            serve(
                HealthServer::new(health::Health::new(monitor, shutdown.clone())).max_decoding_message_size(MAX_NAME),
            ),
            serve(descriptors().build_v1()?.max_decoding_message_size(MAX_NAME)),
            serve(descriptors().build_v1alpha()?.max_decoding_message_size(MAX_NAME)),
        ];
        Ok(Self { services, shutdown, limits, observer })
    }

    /// Answers one request of `peer`, whatever happens.
    pub(super) async fn answer(
        &self,
        peer: &Peer,
        admission: &Admission,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let call = Call::begin(&self.observer, request.headers()).traced("grpc", request.uri().path());
        let route = route(request.uri().path());
        let failure = Arc::new(Mutex::new(None));
        let caller = call.caller(peer, admission);
        let work = self.dispatch(caller, request, &call, &failure);
        let result = work.instrument(call.span.clone()).await;

        let noted = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        call.ended(&peer.account, &self.observer, route, result.as_ref().err().or(noted.as_ref()));
        let answer = result.unwrap_or_else(|error| refused(&error, &call));
        let answer = if route == REFLECTION {
            answer.map(|body| ResponseBody::stream(self.until_its_end(body)))
        } else {
            answer.map(ResponseBody::stream)
        };
        named(answer, &call)
    }

    /// A body of a stream, cut off at the request timeout or at the drain: an idle client would keep it open, and hold up
    /// every drain to its deadline.
    fn until_its_end(&self, body: Body) -> Until {
        let (shutdown, limit) = (self.shutdown.clone(), self.limits.request_timeout);
        let end = async move { tokio::time::timeout(limit, shutdown.recv()).await.unwrap_or_default() };
        Until { body, end: Box::pin(end) }
    }

    /// Refuses one request for which there is no place.
    pub(super) fn refuse(
        &self,
        peer: &Peer,
        exceeded: Exceeded,
        request: &Request<Incoming>,
    ) -> Response<ResponseBody> {
        let call = Call::begin(&self.observer, request.headers()).traced("grpc", request.uri().path());
        let error = exceeded.into();
        call.ended(&peer.account, &self.observer, route(request.uri().path()), Some(&error));
        named(refused(&error, &call).map(ResponseBody::stream), &call)
    }

    async fn dispatch(
        &self,
        caller: Result<Caller, IdentityError>,
        request: Request<Incoming>,
        call: &Call,
        failure: &Arc<Mutex<Option<Error>>>,
    ) -> Result<Response<Body>, Error> {
        let caller = caller?;
        let (head, body) = request.into_parts();
        refuse_other_sites(&head)?;
        let request = Request::from_parts(head, body);
        let wanted = timeout::of(request.headers())?;
        let limit = wanted.map_or(self.limits.request_timeout, |wanted| wanted.min(self.limits.request_timeout));
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        let (name, serve) = self.services.iter().find(|(service, _)| *service == name).ok_or(Error::NoSuchRoute)?;
        let ends = wanted.map(|limit| Deadline { at: Instant::now() + limit, limit });
        let asked = Asked { caller, call: call.clone(), deadline: ends, failure: failure.clone() };
        let deadline = Instant::now() + limit;
        if *name != ReplicaServiceServer::<ReplicaDoor>::NAME {
            // A stream begins within this time; how long it goes on is its own affair.
            // Otherwise the task that reads the messages of a stream outlives its answer.
            let request = request.map(|body| Body::new(self.until_its_end(Body::new(body))));
            let answered = timeout_at(deadline, serve(request)).await;
            return answered.map_err(|_| Error::DeadlineExceeded { limit });
        }
        let (mut head, body) = request.into_parts();
        head.extensions.insert(asked);
        let message = timeout_at(deadline, message::only(body, self.limits.max_body_bytes)).await;
        let message = message.map_err(|_| Error::Timeout { limit })??;
        if Instant::now() >= deadline {
            return Err(Error::Timeout { limit });
        }
        let request = Request::from_parts(head, Body::new(Full::new(message)));
        let answered = timeout_at(deadline, serve(request)).await;
        let answer = answered.map_err(|_| Error::DeadlineExceeded { limit })?;
        let noted = failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if noted { Ok(answer) } else { readable(answer) }
    }
}

/// `answer`, with the request's id.
fn named(mut answer: Response<ResponseBody>, call: &Call) -> Response<ResponseBody> {
    if let Ok(value) = HeaderValue::from_str(&call.id.to_string()) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

/// A refusal, in the headers alone.
fn refused(error: &Error, call: &Call) -> Response<Body> {
    let mut answer = status::of(error, &call.id).into_http();
    if matches!(error, Error::NotImplemented { what: ENCODING }) {
        answer.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    answer
}

/// An answer, unless it is tonic's own refusal of a request that no operation was made of.
fn readable(answer: Response<Body>) -> Result<Response<Body>, Error> {
    let Some(status) = Status::from_header_map(answer.headers()) else { return Ok(answer) };
    match status.code() {
        Code::Ok => Ok(answer),
        Code::Unimplemented if answer.headers().contains_key(ACCEPT_ENCODING) => {
            Err(Error::NotImplemented { what: ENCODING })
        }
        Code::Unimplemented => Err(Error::NoSuchRoute),
        _ => Err(message::unreadable(status.message())),
    }
}

/// Whether a request is for this door.
pub(super) fn is_grpc(version: Version, method: &Method, content_type: Option<&HeaderValue>) -> bool {
    let served = matches!(media_type(content_type).as_str(), "application/grpc" | "application/grpc+proto");
    served && version == Version::HTTP_2 && method == Method::POST
}

/// Refuses what means to be gRPC and is not what this door takes. It is answered as HTTP.
pub(super) fn refuse_unserved(head: &Parts) -> Result<(), Error> {
    let media_type = media_type(head.headers.get(CONTENT_TYPE));
    match media_type.strip_prefix("application/grpc") {
        None => Ok(()),
        Some("" | "+proto") if head.version != Version::HTTP_2 => Err(Error::HttpVersion),
        Some("" | "+proto") => Err(Error::MethodNotAllowed { allow: "POST" }),
        Some(_) => Err(Error::UnsupportedMediaType),
    }
}

fn media_type(content_type: Option<&HeaderValue>) -> String {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn serve<S>(service: S) -> (&'static str, Serve)
where
    S: NamedService + Clone + Send + Sync + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    let serve = move |request| -> BoxFuture<'static, Response<Body>> {
        let answer = service.clone().call(request);
        Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
    };
    (S::NAME, Box::new(serve))
}

/// The name of a path in metrics: a fixed set.
fn route(path: &str) -> &'static str {
    match path {
        "/scalegate.v1.ReplicaService/ListReplicas" => "ListReplicas",
        "/scalegate.v1.ReplicaService/GetReplicas" => "GetReplicas",
        "/scalegate.v1.ReplicaService/WatchReplicas" => "WatchReplicas",
        "/scalegate.v1.ReplicaService/SetReplicas" => "SetReplicas",
        "/scalegate.v1.ReplicaService/ReleaseReplicas" => "ReleaseReplicas",
        "/scalegate.v1.ReplicaService/ListChanges" => "ListChanges",
        "/scalegate.v1.ReplicaService/ListPolicies" => "ListPolicies",
        _ if path.starts_with("/grpc.health.v1.Health/") => "grpc.health",
        _ if path.starts_with("/grpc.reflection.") => REFLECTION,
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn head(version: Version, method: Method, content_type: &str) -> Parts {
        let request = Request::builder().version(version).method(method).header(CONTENT_TYPE, content_type);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_content_type_chooses_the_door() {
        for (content_type, ours) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/GRPC; charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let head = head(Version::HTTP_2, Method::POST, content_type);
            assert_eq!(is_grpc(head.version, &head.method, head.headers.get(CONTENT_TYPE)), ours, "{content_type}");
            assert_eq!(refuse_unserved(&head).is_ok(), content_type == "application/json", "{content_type}");
        }
        let refused = |version, method, content_type| {
            refuse_unserved(&head(version, method, content_type)).unwrap_err().kind().http.as_u16()
        };
        assert_eq!(refused(Version::HTTP_11, Method::POST, "application/grpc"), 505);
        assert_eq!(refused(Version::HTTP_11, Method::POST, "application/grpc-web+proto"), 415);
        assert_eq!(refused(Version::HTTP_2, Method::GET, "application/grpc"), 405);
    }

    #[test]
    fn every_method_of_the_service_has_a_name_in_metrics() {
        let descriptors: prost_types::FileDescriptorSet = prost::Message::decode(proto::DESCRIPTORS).unwrap();
        let services = descriptors.file.iter().flat_map(|file| &file.service);
        let mut methods = 0;
        for method in services.flat_map(|service| &service.method) {
            assert_eq!(route(&format!("/scalegate.v1.ReplicaService/{}", method.name())), method.name());
            methods += 1;
        }
        assert_eq!(methods, 7);
    }
}
