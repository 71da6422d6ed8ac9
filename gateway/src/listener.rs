//! TCP connections become TLS 1.3 connections with a client certificate, and these become requests.
//!
//! What a client can hold is bounded: connections, the handshake, a request's head, streams, idleness, and the life of
//! its certificate. An error of one connection never ends the server.
//!
//! Certificates, keys and revocation lists follow their files: a connection takes those in force when it begins, and
//! ends when the ones that come after have something against its client.

mod activity;
mod authorities;
mod body;
mod connection;
mod farewell;
mod gathering;
mod handshake;
mod handshakes;
mod live;
mod log_limit;
mod metrics;
mod outcome;
mod pace;
mod reload;
mod socket;
mod standing;
mod succession;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::clients::{Account, Admission, Clients, Exceeded};
use crate::config;
use crate::identity::{ClientIdentity, IdentityError};
use crate::ports;
use crate::shutdown::Shutdown;

use handshakes::{Handshakes, MAX_HANDSHAKES};
use log_limit::LogLimit;

pub use authorities::AuthoritiesError;
pub use body::{BodyError, ResponseBody};
pub use handshake::handshake_threads;
pub use live::{LiveTls, TlsStatus};
pub use metrics::ListenerMetrics;
pub use reload::TlsReloader;
pub use succession::SuccessionError;
pub use tls::{Expiry, SharedSecret, Tls, TlsError};

/// The pause after an error of `accept` that is not one connection's own.
const ACCEPT_PAUSE: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of `peer`. It is dropped, unfinished, when the client leaves or the drain's deadline passes.
    fn handle(
        &self,
        peer: &Peer,
        admission: &Admission,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send;

    /// Refuses one request of `peer`, for which there is no place.
    fn refuse(
        &self,
        peer: &Peer,
        exceeded: Exceeded,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send;
}

/// The other side of a connection, whose certificate the handshake verified.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whom its certificate names; an error if that is not clear.
    pub identity: Result<Arc<ClientIdentity>, IdentityError>,
    /// What the client holds.
    pub account: Arc<Account>,
}

/// Why the gateway cannot listen.
#[derive(Debug, Error)]
#[error("listen.address: cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// How far the end of the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// New connections are still served, but clients are told to go elsewhere.
    Draining,
    /// No new connections; each ends with the requests that it has begun.
    Closing,
}

/// What every connection needs.
struct Context<H> {
    handler: Arc<H>,
    live: LiveTls,
    limits: config::Listen,
    metrics: ListenerMetrics,
    logs: Arc<Logs>,
    clients: Clients,
    handshake_threads: Handle,
    /// Places on these threads: what is cancelled there is dropped only when one of them comes to it.
    handshaking: Arc<Semaphore>,
    /// Closed when the last connection and the last request have let go of the context.
    _alive: mpsc::Sender<Infallible>,
}

/// The log lines of which each connection may cause one.
#[derive(Debug, Default)]
struct Logs {
    /// Handshakes that failed.
    refused: LogLimit,
    /// Connections that ended because of the client's certificate.
    ended: LogLimit,
}

/// The bound port for clients.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    limits: config::Listen,
    live: LiveTls,
    metrics: ListenerMetrics,
    logs: Arc<Logs>,
    clients: Clients,
    handshakes: Handshakes,
    handshake_threads: Handle,
}

impl Listener {
    /// Binds the port, for connections by the certificates in `live`. They wait in the kernel's queue until [`Listener::serve`].
    /// The threads of [`handshake_threads`] must outlive the connections.
    pub fn bind(
        limits: &config::Listen,
        live: LiveTls,
        clients: Clients,
        metrics: ListenerMetrics,
        handshake_threads: Handle,
    ) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: limits.address, source };
        let socket = ports::listen(limits.address).map_err(failed)?;
        Ok(Self {
            address: socket.local_addr().map_err(failed)?,
            socket,
            limits: limits.clone(),
            live,
            metrics,
            logs: Arc::default(),
            clients,
            handshakes: Handshakes::new(MAX_HANDSHAKES),
            handshake_threads,
        })
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then drains. Returns when no connection and no request is left.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, shutdown: Shutdown) {
        let (alive, mut gone) = mpsc::channel(1);
        let context = Arc::new(Context {
            handler,
            live: self.live.clone(),
            limits: self.limits.clone(),
            metrics: self.metrics.clone(),
            logs: self.logs.clone(),
            clients: self.clients.clone(),
            handshake_threads: self.handshake_threads.clone(),
            handshaking: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            _alive: alive,
        });
        let mut connections = JoinSet::new();
        self.accept_until(shutdown.recv(), &context, &mut connections).await;

        let drain = self.limits.drain;
        let deadline = Instant::now() + drain.deadline;
        self.live.set_phase(Phase::Draining);
        self.accept_until(sleep(drain.grace), &context, &mut connections).await;

        let live = self.live.clone();
        drop((self, context));
        live.set_phase(Phase::Closing);
        let all = async { while connections.join_next().await.as_ref().map(report).is_some() {} };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(connections = connections.len(), "the drain's deadline has passed: cutting connections");
            connections.shutdown().await;
        }
        // Requests on HTTP/2 are tasks of their own, which notice a moment later that their connection is gone.
        gone.recv().await;
    }

    async fn accept_until<H: Handler>(
        &self,
        stop: impl Future<Output = ()>,
        context: &Arc<Context<H>>,
        connections: &mut JoinSet<()>,
    ) {
        let mut stop = pin!(stop);
        let mut failures = 0;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return,
                Some(ended) = connections.join_next() => report(&ended),
                () = self.logs.tell_left_out() => {}
                (stream, address) = self.accept(&mut failures) => {
                    let handshake = self.handshakes.begin(address.ip());
                    connections.spawn(connection::run(context.clone(), stream, address, handshake));
                }
            }
        }
    }

    async fn accept(&self, failures: &mut u32) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) => {
                    *failures = 0;
                    return (stream, ports::canonical(address));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.metrics.accept_error();
                    *failures = failures.saturating_add(1);
                    let pause = ACCEPT_PAUSE.after(*failures);
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections");
                    // Most likely the process is out of file descriptors or memory: only time and the end of other
                    // connections help. The end of one cuts the pause short.
                    sleep(pause).await;
                }
            }
        }
    }
}

impl Logs {
    /// Waits until lines were left out, and logs how many.
    async fn tell_left_out(&self) {
        tokio::select! {
            lines = self.refused.left_out() => {
                tracing::info!(lines, "more handshakes failed than lines are logged for: the metrics count all of them");
            }
            lines = self.ended.left_out() => {
                tracing::info!(lines, "more connections were ended than lines are logged for: the metrics count all of them");
            }
        }
    }
}

/// Whether the client of a connection caused the error before the connection was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn report(ended: &Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}

#[cfg(test)]
mod tests;
