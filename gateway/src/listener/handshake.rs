//! The TLS handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::authorities::noting;
use super::farewell::end;
use super::outcome::Outcome;
use super::socket::Socket;
use super::Context;

/// Does the handshake. A failure is counted and logged; it gives the socket, if there is somebody to send an alert to.
pub(super) async fn accept<H>(
    context: &Context<H>,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<TlsStream<Socket>, Option<Socket>> {
    let Context { metrics, limits, .. } = context;
    let limit = limits.handshake_timeout;
    let handshake = TlsAcceptor::from(config).accept(Socket::new(stream)).into_fallible();
    let (result, note) = noting(timeout(limit, context.turns.pace(handshake))).await;
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

/// Sends the alert of a handshake that failed, and ends the connection. The client may have sent a request already, as
/// TLS 1.3 lets it.
pub(super) async fn refuse(socket: Socket) {
    end(socket.send_alert().await).await;
}
