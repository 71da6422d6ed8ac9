//! The TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Context;
use super::authorities::noting;
use super::farewell::end;
use super::outcome::Outcome;
use super::socket::Socket;

/// Does the handshake. A failure is counted and logged; it gives the socket, if there is somebody to send an alert to.
pub(super) async fn accept<H>(
    context: &Context<H>,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<TlsStream<Socket>, Option<Socket>> {
    let Context { metrics, limits, .. } = context;
    let limit = limits.handshake_timeout;
    let (result, note) = noting(timeout(limit, shake_hands(context, config, Socket::new(stream)))).await;
    let (outcome, cause, stream) = match result {
        Ok(Ok(mut stream)) => {
            stream.get_mut().0.handshake_done();
            metrics.handshake(Outcome::Ok);
            return Ok(stream);
        }
        Ok(Err((error, stream))) => {
            let cause = note.map_or_else(|| error.to_string(), |note| format!("{error}: {note}"));
            (Outcome::of(&error), cause, Some(stream))
        }
        Err(_) => (Outcome::Timeout, format!("not done after {limit:?}"), None),
    };
    metrics.handshake(outcome);
    // Health checks and scans leave at once, and often.
    if outcome == Outcome::Closed {
        tracing::debug!(%peer, outcome = outcome.as_str(), cause, "handshake failed");
    } else if context.logs.refused.allows() {
        tracing::info!(%peer, outcome = outcome.as_str(), cause, "handshake failed");
    }
    Err(stream)
}

/// The handshake itself. Its first step, which computes the most, takes a turn.
async fn shake_hands<H>(
    context: &Context<H>,
    config: Arc<ServerConfig>,
    socket: Socket,
) -> Result<TlsStream<Socket>, (io::Error, Socket)> {
    // A client that sends nothing takes none. An error shows when the socket is read.
    let _ = socket.readable().await;
    // Boxed, since the task of a connection is moved several times.
    let mut handshake = Box::pin(TlsAcceptor::from(config).accept(socket).into_fallible());
    match context.turns.take(handshake.as_mut()).await {
        Poll::Ready(done) => done,
        Poll::Pending => handshake.await,
    }
}

/// Sends the alert of a handshake that failed, and ends the connection. The client may have sent a request already, as
/// TLS 1.3 lets it.
pub(super) async fn refuse(socket: Socket) {
    end(socket.send_alert().await).await;
}
