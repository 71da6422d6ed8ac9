//! The connection to a gateway: HTTP/2 or HTTP/1.1 over TLS 1.3, with the client's certificate.

mod alert;

use std::error::Error as StdError;
use std::io;
use std::iter::successors;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{AlertDescription, ClientConfig, Error as TlsError, RootCertStore};
use serde_json::Value;
use tokio::time::timeout;

use super::advice;
use super::error::{ClientError, Problem, Stage};
use super::order::Order;
use crate::identity;
use crate::pem::{self, Located, PemError};
use alert::{Alert, AlertConnector};

/// From the first packet to the last byte of an answer, a little longer than a gateway takes at most by default.
const PATIENCE: Duration = Duration::from_secs(70);
/// How long each address of the gateway may take to accept a connection.
const CONNECTING: Duration = Duration::from_secs(10);
/// The largest answer: a page of a list with the longest names stays far below.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A successful answer.
struct Answer {
    document: Value,
    /// How many bytes it had.
    bytes: usize,
}

/// Which gateway, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    /// `https://HOST:PORT`.
    pub(super) server: Uri,
    /// The CA of the gateway's certificate (PEM).
    pub(super) ca: PathBuf,
    /// The client's certificate chain (PEM).
    pub(super) cert: PathBuf,
    /// The client's private key (PEM).
    pub(super) key: PathBuf,
}

/// Sends requests, over one connection if it can.
#[derive(Debug)]
pub(super) struct Connection {
    http: Client<AlertConnector, Full<Bytes>>,
    alert: Alert,
    gateway: Gateway,
}

impl Connection {
    /// Reads the certificates; connects with the first request.
    pub(super) fn new(gateway: Gateway) -> Result<Self, ClientError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECTING));
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(gateway.tls()?).https_only();
        let https = https.enable_http1().enable_http2().wrap_connector(tcp);
        let alert = Alert::default();
        let http = Client::builder(TokioExecutor::new()).build(AlertConnector::new(https, alert.clone()));
        Ok(Self { http, alert, gateway })
    }

    /// The gateway's host and port.
    pub(super) fn authority(&self) -> &str {
        self.gateway.server.authority().map_or("", http::uri::Authority::as_str)
    }

    /// Sends a request and reads the answer. One that does the same if sent twice is sent again, once, if the connection
    /// breaks.
    pub(super) async fn send(&self, order: &Order) -> Result<Value, ClientError> {
        Ok(self.ask(order).await?.document)
    }

    /// As [`Self::send`], with how many bytes the answer had.
    pub(super) async fn send_measured(&self, order: &Order) -> Result<(Value, usize), ClientError> {
        let Answer { document, bytes } = self.ask(order).await?;
        Ok((document, bytes))
    }

    async fn ask(&self, order: &Order) -> Result<Answer, ClientError> {
        match self.attempt(order).await {
            Err(error) if error.is_broken_connection() && order.is_repeatable() => self.attempt(order).await,
            answered => answered,
        }
    }

    async fn attempt(&self, order: &Order) -> Result<Answer, ClientError> {
        let answer = async { self.read(order, self.exchange(order).await?).await };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(self.no_answer()))
    }

    /// Sends a request whose answer is a stream.
    pub(super) async fn open(&self, order: &Order) -> Result<Incoming, ClientError> {
        let response = timeout(PATIENCE, self.exchange(order)).await;
        let response = response.unwrap_or_else(|_| Err(self.no_answer()))?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("text/event-stream") {
            return Err(self.strange(response.status(), "a stream of events").into());
        }
        Ok(response.into_body())
    }

    fn no_answer(&self) -> ClientError {
        ClientError::TimedOut(format!("no answer from {} within {} s", self.authority(), PATIENCE.as_secs()))
    }

    /// A successful answer's head; an error for any other.
    async fn exchange(&self, order: &Order) -> Result<Response<Incoming>, ClientError> {
        let sent = self.http.request(self.request(order)?).await;
        let response = sent.map_err(|error| self.unreachable(&error, error.is_connect()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = match self.body(response).await {
            // What is that large is no problem document.
            Err(ClientError::Other(_)) => Bytes::new(),
            body => body?,
        };
        Err(ClientError::Problem(Problem::of_answer(status, &body)))
    }

    fn request(
        &self,
        Order { method, path, body, idempotency_key, .. }: &Order,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let uri = format!("https://{}{path}", self.authority());
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header(ACCEPT, "application/json, text/event-stream");
        request = request.header(USER_AGENT, concat!("scalegate/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key.to_string());
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(request.body(Full::from(body)).context("cannot make the request")?)
    }

    /// A successful answer, which must be what was asked for.
    async fn read(&self, order: &Order, response: Response<Incoming>) -> Result<Answer, ClientError> {
        let status = response.status();
        let body = self.body(response).await?;
        let document: Value = serde_json::from_slice(&body).map_err(|_| self.strange(status, "JSON"))?;
        if !order.is_answered_by(&document) {
            return Err(self.strange(status, "what was asked for").into());
        }
        Ok(Answer { document, bytes: body.len() })
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| {
            if !error.is::<LengthLimitError>() {
                return self.unreachable(&*error, false);
            }
            let (gateway, most) = (self.authority(), MAX_ANSWER_BYTES >> 20);
            anyhow!("an answer of {gateway} has more than {most} MiB: is it a scalegate gateway?").into()
        })?;
        Ok(body.to_bytes())
    }

    /// An answer that no gateway gives.
    fn strange(&self, status: StatusCode, missing: &str) -> anyhow::Error {
        anyhow!("{} answered {status} without {missing}: is it a scalegate gateway?", self.authority())
    }

    fn unreachable(&self, error: &(dyn StdError + 'static), connecting: bool) -> ClientError {
        let gateway = self.authority();
        let tls = causes(error).find_map(|cause| cause.downcast_ref::<TlsError>());
        let alert = match tls {
            Some(TlsError::AlertReceived(alert)) => Some(*alert),
            _ => self.alert.take(),
        };
        if let Some(alert) = alert {
            return self.refused(alert);
        }
        let cause = causes(error).last().unwrap_or(error).to_string();
        let (stage, what, advice) = match tls {
            Some(tls) => (Stage::Tls, format!("no TLS connection to {gateway}: {tls}"), advice::of_tls(tls)),
            None if connecting => {
                (Stage::Connecting, format!("cannot connect to {gateway}: {cause}"), advice::of_connecting(&cause))
            }
            None => (Stage::Open, format!("the connection to {gateway} broke: {cause}"), "try again"),
        };
        ClientError::Unreachable { stage, what, advice: advice.to_owned() }
    }

    /// With TLS 1.3 a client learns after the handshake that its certificate was refused.
    fn refused(&self, alert: AlertDescription) -> ClientError {
        let what = format!("{} refused {}: {alert:?}", self.authority(), self.gateway.cert.display());
        let not_after = self.gateway.certificate().ok().and_then(|certificate| identity::not_after(&certificate).ok());
        ClientError::Unreachable { what, advice: advice::of_alert(alert, not_after), stage: Stage::Tls }
    }
}

impl Gateway {
    /// The client's own certificate, the first in its file.
    pub(super) fn certificate(&self) -> Result<rustls::pki_types::CertificateDer<'static>, ClientError> {
        let mut chain = pem::certificates(&self.cert).map_err(unusable)?;
        Ok(chain.swap_remove(0).item)
    }

    fn tls(&self) -> Result<ClientConfig, ClientError> {
        let mut roots = RootCertStore::empty();
        for Located { place, item } in pem::certificates(&self.ca).map_err(unusable)? {
            roots.add(item).map_err(|error| ClientError::Usage(format!("{place}: cannot be a CA: {error}")))?;
        }
        let chain = pem::certificates(&self.cert).map_err(unusable)?;
        let chain = chain.into_iter().map(|certificate| certificate.item).collect();
        let key = pem::private_key(&self.key).map_err(unusable)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("TLS 1.3")?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key);
        let files = || format!("{} and {}", self.cert.display(), self.key.display());
        config.map_err(|error| ClientError::Usage(format!("{} cannot be used together: {error}", files())))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn unusable(error: PemError) -> ClientError {
    ClientError::Usage(error.to_string())
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |error| cause(*error))
}

/// The cause of an error, also of an I/O error that wraps it, whose `source` leaves it out.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
