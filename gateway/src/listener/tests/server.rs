//! A listener that runs, and clients of it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::*;
use super::pki::{Credentials, Pki};
use crate::clients::{Bound, Bounds};
use crate::shutdown::Trigger;

/// `/` answers whom the certificate names, `/wait` the same once released, `/panic` panics.
#[derive(Default)]
pub(super) struct Script {
    pub(super) entered: Notify,
    pub(super) released: Notify,
    pub(super) running: AtomicUsize,
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Handler for Script {
    async fn handle(&self, peer: &Peer, _: &Admission, request: Request<Incoming>) -> Response<ResponseBody> {
        self.running.fetch_add(1, SeqCst);
        let _running = Running(&self.running);
        match request.uri().path() {
            "/wait" => {
                self.entered.notify_one();
                self.released.notified().await;
            }
            "/panic" => panic!("as the test asked"),
            _ => {}
        }
        let text = match &peer.identity {
            Ok(identity) => identity.id().to_string(),
            Err(error) => format!("nobody: {error}"),
        };
        Response::new(ResponseBody::from(Bytes::from(text)))
    }

    async fn refuse(&self, _: &Peer, exceeded: Exceeded, _: Request<Incoming>) -> Response<ResponseBody> {
        Response::new(ResponseBody::from(Bytes::from(format!("refused: {exceeded}"))))
    }
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    pub(super) trigger: Trigger,
    pub(super) task: JoinHandle<()>,
    pub(super) reloader: TlsReloader,
    pub(super) live: LiveTls,
    registry: Registry,
}

impl Server {
    pub(super) fn start(pki: &Pki, limits: &config::Listen) -> Self {
        static HANDSHAKES: LazyLock<Runtime> = LazyLock::new(|| handshake_threads().unwrap());
        Self::start_on(HANDSHAKES.handle(), pki, limits)
    }

    /// With these threads for handshakes.
    pub(super) fn start_on(handshakes: &Handle, pki: &Pki, limits: &config::Listen) -> Self {
        let mut registry = Registry::default();
        let metrics = ListenerMetrics::register(&mut registry);
        let (reloader, live) = TlsReloader::start(&pki.settings, metrics.clone()).unwrap();
        let places = |all, of_client| Bound { all, of_client };
        let bounds = Bounds {
            connections: places(limits.max_connections, limits.max_connections_per_client),
            requests: places(limits.max_requests, limits.max_requests_per_client),
            changes: places(1, 1),
            streams: places(1, 1),
            refusals: places(1, 1),
            rate: None,
        };
        let clients = Clients::new(&bounds, ["example.org"]);
        let listener = Listener::bind(limits, live.clone(), clients, metrics, handshakes.clone()).unwrap();
        let (address, script) = (listener.local_addr(), Arc::new(Script::default()));
        let (trigger, shutdown) = Shutdown::new();
        let task = tokio::spawn(listener.serve(script.clone(), shutdown));
        Self { address, script, trigger, task, reloader, live, registry }
    }

    /// The value of a metric, by its name and labels as they are written.
    pub(super) fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).to_owned()
    }

    /// Lets the reloader look at the files once.
    pub(super) async fn look(&self) {
        self.reloader.follower.poll().await;
    }

    /// Waits until `count` connections were ended because of their client's certificate, for `reason`.
    pub(super) async fn ended(&self, reason: &str, count: u32) {
        while self.metric(&format!("connections_ended_total{{reason=\"{reason}\"}}")) != count.to_string() {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn connect(&self, pki: &Pki, credentials: Option<&Credentials>) -> io::Result<Http1> {
        Ok(Http1(tls(self.address, pki, credentials, "http/1.1").await?))
    }

    /// The answer to one request by a client with `credentials`.
    pub(super) async fn ask(&self, pki: &Pki, credentials: &Credentials) -> io::Result<String> {
        self.connect(pki, Some(credentials)).await?.ask("/").await
    }

    pub(super) async fn connect_http2(&self, pki: &Pki, credentials: &Credentials) -> SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(tls(self.address, pki, Some(credentials), "h2").await.unwrap());
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// Waits until the server has ended an HTTP/2 connection.
pub(super) async fn http2_ended(sender: &mut SendRequest<Full<Bytes>>) {
    while !sender.is_closed() {
        // The client's own task notices the end of the connection.
        let _ = sender.ready().await;
        tokio::task::yield_now().await;
    }
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

/// The body of an answer over HTTP/2.
pub(super) async fn text(answer: Response<Incoming>) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn tls(
    address: SocketAddr,
    pki: &Pki,
    credentials: Option<&Credentials>,
    alpn: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(pki.client(credentials, alpn));
    connector.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(address).await?).await
}

/// An HTTP/1.1 connection.
pub(super) struct Http1(TlsStream<TcpStream>);

impl Http1 {
    pub(super) async fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.0.write_all(bytes.as_bytes()).await?;
        self.0.flush().await
    }

    /// The body of the answer to a GET; an error if the connection ends before.
    pub(super) async fn ask(&mut self, path: &str) -> io::Result<String> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await?;
        let answer = self.answer().await?;
        Ok(answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Head and body of the next answer, in lower case.
    pub(super) async fn answer(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    return Ok(text);
                }
            }
            text.push(char::from(self.0.read_u8().await?).to_ascii_lowercase());
        }
    }

    /// The certificate that the server showed.
    pub(super) fn server_certificate(&self) -> CertificateDer<'static> {
        self.server_chain()[0].clone()
    }

    /// All certificates that the server showed.
    pub(super) fn server_chain(&self) -> &[CertificateDer<'static>] {
        self.0.get_ref().1.peer_certificates().unwrap()
    }

    /// Reads until the server ends the connection.
    pub(super) async fn ended(mut self) {
        let mut rest = Vec::new();
        // With or without TLS's own goodbye.
        let _ = self.0.read_to_end(&mut rest).await;
    }
}
