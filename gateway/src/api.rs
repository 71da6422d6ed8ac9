//! What clients can ask of the gateway.
//!
//! [`Operations`] is what can be done, whatever the transport. Two doors make an operation of a request, have it
//! performed, and render what comes of it: [`HttpApi`] for HTTP with JSON, and [`GrpcApi`]. An [`Error`] is the only way in
//! which that fails. [`Api`] chooses the door.

mod call;
mod cursor;
mod error;
mod fields;
mod grpc;
mod health;
mod http;
mod metrics;
mod operation;
mod operations;
mod origin;
mod rendered;
mod selector;
mod stream;
mod view;

use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::clients::{Admission, Exceeded};
use crate::listener::{Handler, Peer, ResponseBody};

pub use self::call::Observer;
pub use self::cursor::Cursors;
pub use self::error::{Error, ErrorKind};
pub use self::grpc::GrpcApi;
pub use self::http::{HttpApi, openapi};
pub use self::metrics::ApiMetrics;
pub use self::operations::Operations;

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest body, or message of gRPC, in bytes.
    pub max_body_bytes: usize,
    /// The longest time from the request's head to the answer.
    pub request_timeout: Duration,
}

/// All doors.
pub struct Api {
    http: HttpApi,
    grpc: GrpcApi,
}

impl Api {
    /// Both doors, by method, HTTP version and content type.
    pub fn new(http: HttpApi, grpc: GrpcApi) -> Self {
        Self { http, grpc }
    }
}

impl Handler for Api {
    async fn handle(&self, peer: &Peer, admission: &Admission, request: Request<Incoming>) -> Response<ResponseBody> {
        if is_grpc(&request) {
            // Boxed, so that the futures of other requests are small.
            Box::pin(self.grpc.answer(peer, admission, request)).await
        } else {
            self.http.answer(peer, Ok(admission), request).await
        }
    }

    async fn refuse(&self, peer: &Peer, exceeded: Exceeded, request: Request<Incoming>) -> Response<ResponseBody> {
        if is_grpc(&request) {
            self.grpc.refuse(peer, exceeded, &request)
        } else {
            self.http.answer(peer, Err(exceeded), request).await
        }
    }
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    grpc::is_grpc(request.version(), request.method(), request.headers().get(CONTENT_TYPE))
}
