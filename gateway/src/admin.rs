//! The plaintext port for probes and metrics. It shows no name of a client or a Deployment.
//!
//! kubelet cannot show a client certificate, so probes need a port of their own.

mod readiness;
mod status;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config;
use crate::ports;
use crate::shutdown::Shutdown;

pub use readiness::{Readiness, ReadyHandle};
pub use status::StatusPage;

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 256;
/// The longest time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest life of a connection, which serves one request: nobody can hold all of them for long.
const MAX_LIFE: Duration = Duration::from_secs(5);
/// The pause after an error of `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Why the port cannot be opened.
#[derive(Debug, Error)]
#[error("admin.address: cannot listen on {address}: {source}")]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

/// The bound port for probes and metrics.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
    pages: Arc<Pages>,
}

#[derive(Debug)]
struct Pages {
    readiness: Readiness,
    registry: Registry,
    status: StatusPage,
}

impl Admin {
    /// Binds the port. `registry` holds all metrics of the process by now, and `status` all its parts.
    pub fn bind(
        settings: &config::Admin,
        readiness: Readiness,
        registry: Registry,
        status: StatusPage,
    ) -> Result<Self, AdminError> {
        let failed = |source| AdminError { address: settings.address, source };
        let socket = ports::listen(settings.address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, pages: Arc::new(Pages { readiness, registry, status }) })
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, which should come after the drain: probes are asked during it.
    pub async fn serve(self, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accept = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, self.socket.accept().await)
            };
            tokio::select! {
                () = shutdown.recv() => return,
                Some(_) = connections.join_next() => {}
                (permit, accepted) = accept => match accepted {
                    Ok((stream, _)) => {
                        let pages = self.pages.clone();
                        connections.spawn(async move {
                            // A connection past its life is dropped; its client makes another.
                            let _ = timeout(MAX_LIFE, connection(stream, pages)).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections to the admin port");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

async fn connection(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = pages.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(8 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the admin port failed");
    }
}

impl Pages {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let page: fn(&Self) -> Response<Full<Bytes>> = match path {
            "/livez" => |_| text(StatusCode::OK, "ok\n"),
            "/readyz" => Self::readyz,
            "/startupz" => Self::startupz,
            "/metrics" => Self::metrics,
            "/status" => Self::status,
            _ => return text(StatusCode::NOT_FOUND, "there are /livez, /readyz, /startupz, /metrics and /status\n"),
        };
        if method != Method::GET && method != Method::HEAD {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        page(self)
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        text(ok_if(self.readiness.is_ready()), self.readiness.report())
    }

    fn startupz(&self) -> Response<Full<Bytes>> {
        text(ok_if(self.readiness.has_started()), self.readiness.report())
    }

    fn status(&self) -> Response<Full<Bytes>> {
        respond(StatusCode::OK, JSON, format!("{}\n", self.status.document(&self.readiness)))
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut metrics = String::new();
        match prometheus_client::encoding::text::encode(&mut metrics, &self.registry) {
            Ok(()) => respond(StatusCode::OK, OPENMETRICS, metrics),
            Err(error) => {
                tracing::error!(%error, "cannot write the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written; the log says why\n")
            }
        }
    }
}

fn ok_if(condition: bool) -> StatusCode {
    if condition { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, TEXT, body.into())
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::telemetry;

    fn start() -> (SocketAddr, Readiness, crate::shutdown::Trigger, tokio::task::JoinHandle<()>) {
        let readiness = Readiness::default();
        let settings = config::Admin { address: ([127, 0, 0, 1], 0).into() };
        let status = StatusPage::default().with("leader", || true);
        let admin = Admin::bind(&settings, readiness.clone(), telemetry::registry(), status).unwrap();
        let (trigger, shutdown) = Shutdown::new();
        (admin.local_addr(), readiness, trigger, tokio::spawn(admin.serve(shutdown)))
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_follow_the_conditions() {
        let (address, readiness, _trigger, _task) = start();
        let cache = readiness.condition("cache");
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "GET /startupz").await.starts_with("HTTP/1.1 503 "));
        let not_yet = ask(address, "GET /readyz").await;
        assert!(not_yet.starts_with("HTTP/1.1 503 ") && not_yet.ends_with("cache: not ok\n"), "{not_yet}");
        cache.set(true);
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 200 "));
        readiness.drain();
        assert!(ask(address, "GET /readyz").await.starts_with("HTTP/1.1 503 "));
        assert!(ask(address, "GET /startupz").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(address, "GET /livez").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let (address, _readiness, _trigger, _task) = start();
        let answer = ask(address, "GET /metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(
            answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
            "{answer}"
        );
        assert!(answer.contains("scalegate_build_info{") && answer.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn the_status_is_one_json_object_with_what_each_part_tells() {
        let (address, readiness, _trigger, _task) = start();
        let cache = readiness.condition("cache");
        let status = async || {
            let answer = ask(address, "GET /status").await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("content-type: application/json\r\n"));
            serde_json::from_str::<serde_json::Value>(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
        };
        let version = env!("CARGO_PKG_VERSION");
        let conditions = |cache: bool| serde_json::json!({ "cache": cache });
        assert_eq!(
            status().await,
            serde_json::json!({
                "version": version, "ready": false, "draining": false, "conditions": conditions(false), "leader": true
            })
        );
        cache.set(true);
        assert_eq!((&status().await["ready"], &status().await["conditions"]), (&true.into(), &conditions(true)));
        readiness.drain();
        assert_eq!((&status().await["ready"], &status().await["draining"]), (&false.into(), &true.into()));
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let (address, _readiness, _trigger, _task) = start();
        assert!(ask(address, "GET /").await.starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "GET /metrics/").await.starts_with("HTTP/1.1 404 "));
        let refused = ask(address, "POST /metrics").await;
        assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"), "{refused}");
        let head = ask(address, "HEAD /livez").await;
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[tokio::test]
    async fn shutdown_ends_the_port() {
        let (address, _, trigger, task) = start();
        trigger.trigger();
        task.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
