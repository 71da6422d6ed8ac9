//! `scalegate list`, `get`, `set` and `release`: one request to a gateway, and its answer.

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use form_urlencoded::Serializer;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::output;
use crate::dns;
use crate::pem::{self, Located};
use crate::resource::{InvalidReason, check_reason};
use crate::text::{cut, escaped};

/// From the first packet to the last byte of the answer, a little longer than a gateway takes at most by default.
const PATIENCE: Duration = Duration::from_secs(70);
/// The largest answer: a page of a list with the longest names stays far below.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes of a refusal that are shown.
const MAX_SHOWN_BYTES: usize = 4096;

/// Which gateway, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Connect {
    /// The gateway's address
    #[arg(long, env = "SCALEGATE_SERVER", value_name = "URL", value_parser = server)]
    server: Uri,
    /// The CA of the gateway's certificate (PEM)
    #[arg(long, env = "SCALEGATE_CA", value_name = "FILE")]
    ca: PathBuf,
    /// Your certificate chain (PEM)
    #[arg(long, env = "SCALEGATE_CERT", value_name = "FILE")]
    cert: PathBuf,
    /// Your private key (PEM)
    #[arg(long, env = "SCALEGATE_KEY", value_name = "FILE")]
    key: PathBuf,
}

/// A Deployment, as `NAMESPACE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkloadName {
    namespace: String,
    name: String,
}

/// What is asked of the gateway.
#[derive(Debug)]
pub(super) enum Order {
    /// The Deployments that the caller may see: of one namespace, and by labels, if given.
    List { namespace: Option<String>, selector: Option<String> },
    /// One Deployment.
    Get(WorkloadName),
    /// Its count.
    Set { target: WorkloadName, replicas: u32, reason: Option<String>, dry_run: bool },
    /// No longer managed; the count stays.
    Release(WorkloadName),
}

/// Sends the order, and prints the answer. Anything but success is an error that says why.
pub(super) fn run(connect: &Connect, order: Order) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let answer = async { timeout(PATIENCE, ask(connect, order)).await.context("no answer came")? };
    let answer = runtime.block_on(answer)?;
    Ok(output::print_json(&answer)?)
}

async fn ask(connect: &Connect, order: Order) -> Result<Value> {
    let Order::List { namespace, selector } = &order else { return send(connect, order.request()?).await };
    let mut page = send(connect, list(namespace.as_deref(), selector.as_deref(), None)?).await?;
    let mut items = take_items(&mut page);
    let mut undecided = page["undecided"].as_u64().unwrap_or_default();
    while let Some(next) = page["continue"].as_str() {
        page = send(connect, list(namespace.as_deref(), selector.as_deref(), Some(next))?).await?;
        items.append(&mut take_items(&mut page));
        undecided += page["undecided"].as_u64().unwrap_or_default();
    }
    Ok(json!({ "items": items, "undecided": undecided }))
}

fn take_items(page: &mut Value) -> Vec<Value> {
    match page["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

impl Order {
    fn request(self) -> Result<Request<Full<Bytes>>> {
        match self {
            Self::List { namespace, selector } => list(namespace.as_deref(), selector.as_deref(), None),
            Self::Get(target) => request(Method::GET, &target.path(), None),
            Self::Release(target) => request(Method::DELETE, &target.path(), None),
            Self::Set { target, replicas, reason, dry_run } => {
                let path = format!("{}{}", target.path(), if dry_run { "?dryRun=true" } else { "" });
                let mut body = json!({ "replicas": replicas });
                if let Some(reason) = reason {
                    body["reason"] = reason.into();
                }
                request(Method::PUT, &path, Some(&body))
            }
        }
    }
}

fn list(namespace: Option<&str>, selector: Option<&str>, next: Option<&str>) -> Result<Request<Full<Bytes>>> {
    let path = namespace.map_or("/v1/deployments".to_owned(), |name| format!("/v1/namespaces/{name}/deployments"));
    let mut query = Serializer::new(String::new());
    let parameters = [("labelSelector", selector), ("continue", next)];
    query.extend_pairs(parameters.into_iter().filter_map(|(key, value)| Some((key, value?))));
    request(Method::GET, &format!("{path}?{}", query.finish()), None)
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(path).header(ACCEPT, "application/json");
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    Ok(request.body(Full::from(body))?)
}

async fn send(connect: &Connect, mut request: Request<Full<Bytes>>) -> Result<Value> {
    let authority = connect.server.authority().context("--server names no host")?;
    request.headers_mut().insert(HOST, authority.as_str().parse()?);
    let port = authority.port_u16().unwrap_or(443);
    // An IPv6 address stands in brackets in a URL, and without them in a certificate.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.with_context(|| format!("cannot connect to {authority}"))?;
    let tls = TlsConnector::from(Arc::new(connect.tls()?));
    let stream = tls.connect(ServerName::try_from(host)?, stream).await;
    let stream = stream.with_context(|| format!("no TLS connection to {authority}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = match sender.send_request(request).await {
        Ok(response) => read(response).await,
        // With TLS 1.3 a client learns only now that its certificate was refused, and the connection knows why.
        Err(error) => match connection.await {
            Ok(Err(reason)) => match alert(&reason) {
                Some(alert) => bail!("{authority} refused {}: {alert:?}", connect.cert.display()),
                None => Err(reason.into()),
            },
            _ => Err(error.into()),
        },
    };
    answer.with_context(|| format!("no answer from {authority}"))?
}

/// The alert by which the gateway ended the connection, if it did.
fn alert(error: &hyper::Error) -> Option<AlertDescription> {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.find_map(|cause| match cause.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref() {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    })
}

async fn read(response: Response<Incoming>) -> Result<Result<Value>> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    if status.is_success() && body.is_empty() {
        return Ok(Ok(Value::Null));
    }
    let answer: Value = serde_json::from_slice(&body).with_context(|| format!("{status}, and no JSON"))?;
    Ok(if status.is_success() { Ok(answer) } else { Err(problem(status.as_u16(), &answer)) })
}

fn problem(status: u16, answer: &Value) -> anyhow::Error {
    let text = |key: &str| escaped(&cut(answer[key].as_str().unwrap_or_default(), MAX_SHOWN_BYTES)).into_owned();
    let ids = ["decisionId", "requestId"].map(|id| answer[id].is_string().then(|| format!("{id} {}", text(id))));
    let ids = ids.into_iter().flatten().collect::<Vec<_>>().join(", ");
    anyhow::anyhow!("{status} {}: {} ({ids})", text("code"), text("detail"))
}

impl Connect {
    fn tls(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for Located { place, item } in pem::certificates(&self.ca)? {
            roots.add(item).with_context(|| format!("{place}: cannot be a CA"))?;
        }
        let chain = pem::certificates(&self.cert)?.into_iter().map(|certificate| certificate.item).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, pem::private_key(&self.key)?);
        config.with_context(|| format!("{} and {}", self.cert.display(), self.key.display()))
    }
}

impl WorkloadName {
    fn path(&self) -> String {
        format!("/v1/namespaces/{}/deployments/{}/replicas", self.namespace, self.name)
    }
}

/// A count, in the gateway's own words about what is none.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let wrong = || format!("it takes a whole number from 0 to {}", i32::MAX);
    text.parse().ok().filter(|count| *count <= i32::MAX.unsigned_abs()).ok_or_else(wrong)
}

/// A reason that the gateway would accept.
pub(super) fn reason(text: &str) -> Result<String, InvalidReason> {
    check_reason(text).map(|()| text.to_owned())
}

/// `NAMESPACE/NAME`, as Kubernetes allows them: nothing else belongs into a path.
pub(super) fn target(text: &str) -> Result<WorkloadName, String> {
    match text.split_once('/').map(|(of, name)| (namespace(of), object_name(name))) {
        Some((Ok(namespace), Ok(name))) => Ok(WorkloadName { namespace, name }),
        _ => Err("it takes NAMESPACE/NAME".to_owned()),
    }
}

/// A namespace's name, as Kubernetes allows it.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let wrong = || "it takes a namespace's name: 1 to 63 of a-z, 0-9 and -, no - at its ends".to_owned();
    dns::is_label(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// An object's name, as Kubernetes allows it.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    let wrong = || "it takes a name of a-z, 0-9, - and ., with a letter or digit at the ends of each part".to_owned();
    dns::is_subdomain(text).then(|| text.to_owned()).ok_or_else(wrong)
}

fn server(text: &str) -> Result<Uri> {
    let uri: Uri = text.parse()?;
    let bare = matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/"));
    if uri.scheme_str() != Some("https") || uri.authority().is_none() || !bare {
        bail!("it takes https://HOST:PORT");
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn path(order: Order) -> String {
        order.request().unwrap().uri().to_string()
    }

    #[test]
    fn a_target_is_a_namespace_and_a_name_and_nothing_that_bends_a_path() {
        let web = target("demo/web").unwrap();
        assert_eq!(path(Order::Get(web)), "/v1/namespaces/demo/deployments/web/replicas");
        for bad in
            ["web", "demo/", "/web", "demo/web/x", "demo/..", "../web", "demo/..%2f", "Demo/web", "demo/web?x=1", ""]
        {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_is_one_line_however_long_and_hostile_its_reasons_are() {
        let reason = format!("no\nscalegate: 200 fine \u{1b}[2K\u{9b}31m\u{202e}{}", "x".repeat(100_000));
        let error = problem(403, &json!({"code": "refused", "detail": reason, "decisionId": "d"})).to_string();
        assert!(error.starts_with(r"403 refused: no\nscalegate: 200 fine \u{1b}[2K\u{9b}31m\u{202e}xxx"), "{error}");
        assert!(error.len() < 5000 && error.ends_with("x… (decisionId d)"), "{error}");
    }

    #[test]
    fn a_selector_is_encoded() {
        let order = Order::List { namespace: Some("demo".into()), selector: Some("tier in (a,b)&limit=1".into()) };
        let wanted = "/v1/namespaces/demo/deployments?labelSelector=tier+in+%28a%2Cb%29%26limit%3D1";
        assert_eq!(path(order), wanted);
    }

    #[test]
    fn a_server_is_a_https_url_without_a_path() {
        for good in ["https://localhost:8443", "https://[::1]:8443/", "https://gate.example"] {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in ["localhost:8443", "http://localhost", "https://gate.example/v1", "https://", ""] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
