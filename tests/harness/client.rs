//! A client of the gateway with a certificate.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A caller of one gateway.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// What the gateway answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
    /// What came after the body.
    pub trailers: HeaderMap,
}

/// A connection that is kept.
pub enum Connection {
    /// HTTP/1.1.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// A caller with the certificate `clients/NAME.pem` under `certs`, as `make certs` lays them out.
    pub fn with_certificate(address: SocketAddr, certs: &Path, name: &str) -> Result<Self> {
        let file = |end: &str| certs.join(format!("clients/{name}{end}"));
        Self::with_files(address, &certs.join("ca.pem"), &file(".pem"), &file("-key.pem"))
    }

    /// A caller that trusts `ca`, with the certificate and the key in these files.
    pub fn with_files(address: SocketAddr, ca: &Path, certificate: &Path, key: &Path) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        Self::new(address, ca, Some((chain, PrivateKeyDer::from_pem_file(key)?)))
    }

    /// A caller that trusts `ca` and shows `identity`, if any.
    pub fn new(
        address: SocketAddr,
        ca: &Path,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let tls = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self::configured(address, Arc::new(tls)))
    }

    /// A caller with TLS settings of its own. Whatever keeps sessions keeps them from one connection to the next.
    pub fn configured(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        Self { address, tls }
    }

    /// A TLS connection that speaks `alpn`.
    pub async fn tls(&self, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
        self.tls_over(TcpStream::connect(self.address).await.context("cannot connect")?, alpn).await
    }

    /// The same over a TCP connection that is there.
    pub async fn tls_over(&self, tcp: TcpStream, alpn: &[u8]) -> Result<TlsStream<TcpStream>> {
        let mut config = (*self.tls).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.context("TLS failed")
    }

    /// A kept HTTP/1.1 connection.
    pub async fn http1(&self) -> Result<Connection> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.tls(b"http/1.1").await?)).await?;
        tokio::spawn(connection);
        Ok(Connection::Http1(sender))
    }

    /// A kept HTTP/2 connection.
    pub async fn http2(&self) -> Result<Connection> {
        Ok(Connection::Http2(self.http2_of().await?))
    }

    /// A connection for requests with bodies of another kind.
    pub async fn http2_of<B>(&self) -> Result<http2::SendRequest<B>>
    where
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let io = TokioIo::new(self.tls(b"h2").await?);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// The certificate, in DER, that the gateway shows to a new connection.
    pub async fn server_certificate(&self) -> Result<Vec<u8>> {
        let stream = self.tls(b"h2").await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().context("no certificate")?.to_vec())
    }

    /// One request on a connection of its own.
    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer> {
        self.http1().await?.request(method, path, headers, body).await
    }

    /// What comes back first when `bytes` are all that is sent over HTTP/1.1: nothing, if the gateway ends the connection
    /// without an answer, or waits for more for as long as `patience`.
    pub async fn raw(&self, bytes: &[u8], patience: Duration) -> Result<Vec<u8>> {
        let mut stream = self.tls(b"http/1.1").await?;
        let mut answer = vec![0; 4096];
        // A connection that is ended while bytes are still on their way is reset.
        let _ = stream.write_all(bytes).await;
        let length = timeout(patience, stream.read(&mut answer)).await.map_or(0, Result::unwrap_or_default);
        answer.truncate(length);
        Ok(answer)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, &[], Vec::new()).await
    }

    /// PUT of a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.request(Method::PUT, path, &[("content-type", "application/json")], body.to_string().into_bytes()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.request(Method::DELETE, path, &[], Vec::new()).await
    }
}

/// A kept HTTP/1.1 connection without TLS.
pub async fn plain_http1(address: SocketAddr) -> Result<Connection> {
    let tcp = TcpStream::connect(address).await.context("cannot connect")?;
    tcp.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    Ok(Connection::Http1(sender))
}

/// What became of a request on a kept connection.
#[derive(Debug)]
pub enum Sent {
    /// It was answered.
    Answered(Box<Answer>),
    /// It never left: the connection had ended. It can be sent on another.
    Unsent,
}

impl Connection {
    /// One request on this connection.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer> {
        match self.try_request(method, path, headers, body).await? {
            Sent::Answered(answer) => Ok(*answer),
            Sent::Unsent => bail!("the connection has ended"),
        }
    }

    /// One request on this connection, which may have ended.
    pub async fn try_request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Sent> {
        let uri = match self {
            Self::Http1(_) => path.to_owned(),
            Self::Http2(_) => format!("https://localhost{path}"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self, Self::Http1(_)) {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let sent = match self {
            Self::Http1(sender) => match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await,
                Err(_) => return Ok(Sent::Unsent),
            },
            Self::Http2(sender) => match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await,
                Err(_) => return Ok(Sent::Unsent),
            },
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.message().is_some() || was_told_to_leave(error.error()) => return Ok(Sent::Unsent),
            Err(error) => return Err(error.into_error().into()),
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let (status, headers, body) = (head.status.as_u16(), head.headers, body.to_bytes());
        Ok(Sent::Answered(Box::new(Answer { status, headers, body, trailers })))
    }

    /// GET, whose body the caller reads.
    pub async fn open(&mut self, path: &str) -> Result<Response<Incoming>> {
        let request = Request::get(match self {
            Self::Http1(_) => path.to_owned(),
            Self::Http2(_) => format!("https://localhost{path}"),
        });
        Ok(match self {
            Self::Http1(sender) => {
                sender.send_request(request.header("host", "localhost").body(Full::default())?).await?
            }
            Self::Http2(sender) => sender.send_request(request.body(Full::default())?).await?,
        })
    }

    /// Whether it has not ended yet.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    /// The same connection for one more request at a time; HTTP/1.1 has none.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// GET.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.request(Method::GET, path, &[], Vec::new()).await
    }
}

/// Whether an HTTP/2 request met a GOAWAY without an error: the server has not begun it (RFC 9113, section 6.8).
fn was_told_to_leave(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR))
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The stable code of a problem document, or the empty text.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header's text, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
