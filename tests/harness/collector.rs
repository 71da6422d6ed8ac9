//! An OpenTelemetry collector that keeps the spans it is sent.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Request, Response, Status};
use tower_service::Service;

/// A collector on the loopback interface. Dropping it ends its connections.
#[derive(Debug)]
pub struct Collector {
    /// Where it takes OTLP over gRPC.
    pub endpoint: String,
    received: Received,
    _serving: JoinSet<()>,
}

#[derive(Debug, Clone, Default)]
struct Received(Arc<Mutex<Vec<ResourceSpans>>>);

impl Collector {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (received, mut serving) = (Received::default(), JoinSet::new());
        serving.spawn(accept(listener, TraceServiceServer::new(received.clone())));
        Ok(Self { endpoint, received, _serving: serving })
    }

    /// All that has arrived.
    pub fn received(&self) -> Vec<ResourceSpans> {
        self.received.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans that have arrived.
    pub fn spans(&self) -> Vec<Span> {
        self.received().into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(request.into_inner().resource_spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn accept<S>(listener: TcpListener, service: S)
where
    S: Service<http::Request<hyper::body::Incoming>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let service = TowerToHyperService::new(service.clone());
                let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(serving.await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
