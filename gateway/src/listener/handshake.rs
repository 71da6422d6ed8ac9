//! The TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::RemoteHandle;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Context;
use super::authorities::noting;
use super::farewell::end;
use super::outcome::Outcome;
use super::pace::Pace;
use super::socket::Socket;
use crate::clients::threads;
use crate::priority::yield_to_requests;

/// The priority of threads for handshakes: a step of a handshake computes for as long as many requests. Beside a thread
/// that serves, one for handshakes gets a quarter of a processor.
const HANDSHAKES: i32 = 5;

/// Starts the threads for handshakes, half as many as serve.
pub fn handshake_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads() / 2)
        .thread_name("handshakes")
        .on_thread_start(|| yield_to_requests(HANDSHAKES))
        .build()
}

/// Does the handshake. A failure is counted and logged; it gives the socket, if there is somebody to send an alert to.
pub(super) async fn accept<H>(
    context: &Context<H>,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<TlsStream<Socket>, Option<Socket>> {
    let Context { metrics, limits, handshake_threads, handshaking, .. } = context;
    let limit = limits.handshake_timeout;
    let handshake = async {
        // A client that sends nothing needs no thread. Tokio takes a new socket for readable, so this reads; an error shows
        // again when the handshake does.
        let _ = stream.peek(&mut [0]).await;
        // Boxed, since it is moved several times.
        let handshake = Box::pin(TlsAcceptor::from(config).accept(Socket::new(stream)).into_fallible());
        // It is never closed.
        let place = handshaking.clone().acquire_owned().await;
        let handshake = async move {
            let _place = place;
            noting(handshake).await
        };
        run_on(handshake_threads, handshake).await
    };
    let (outcome, cause, stream) = match timeout(limit, handshake).await {
        Ok((Ok(mut stream), _)) => {
            stream.get_mut().0.handshake_done();
            metrics.handshake(Outcome::Ok);
            return Ok(stream);
        }
        Ok((Err((error, stream)), note)) => {
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

/// Runs `work` on `threads`; dropping the handle cancels it.
fn run_on<T: Send + 'static>(threads: &Handle, work: impl Future<Output = T> + Send + 'static) -> RemoteHandle<T> {
    let (work, result) = work.remote_handle();
    threads.spawn(work);
    result
}

/// Sends the alert of a handshake that failed, and ends the connection. The client may have sent a request already, as
/// TLS 1.3 lets it.
pub(super) async fn refuse(socket: Socket, mut pace: Pace) {
    let stream = socket.send_alert(&mut pace).await;
    end(stream, pace).await;
}
