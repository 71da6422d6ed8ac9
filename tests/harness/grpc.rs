//! A client of the gateway that speaks gRPC over the harness' own HTTP/2 connection.

use std::task::{Context as TaskContext, Poll};

use anyhow::Result;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use scalegate::proto::v1::replica_service_client::ReplicaServiceClient;
use tonic::body::Body;
use tonic_health::pb::health_client::HealthClient;
use tower_service::Service;

use crate::client::Client;

/// The connection as tonic wants it.
#[derive(Clone)]
pub struct Channel(SendRequest<Body>);

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Response<Incoming>, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Client {
    /// A new connection for gRPC.
    pub async fn channel(&self) -> Result<Channel> {
        Ok(Channel(self.http2_of().await?))
    }

    /// A client of `ReplicaService` on a new connection.
    pub async fn replica_service(&self) -> Result<ReplicaServiceClient<Channel>> {
        Ok(ReplicaServiceClient::with_origin(self.channel().await?, origin()))
    }

    /// A client of `grpc.health.v1` on a new connection.
    pub async fn health_service(&self) -> Result<HealthClient<Channel>> {
        Ok(HealthClient::with_origin(self.channel().await?, origin()))
    }
}

fn origin() -> Uri {
    Uri::from_static("https://localhost")
}
