//! The life of one connection: handshake, requests, end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Patience, Watched};
use super::handshake::accept;
use super::{Context, Handler, Peer, Phase};
use crate::identity;

/// The largest head of a request in bytes.
const MAX_HEAD_BYTES: u16 = 16 * 1024;
/// Streams at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// What a client may send ahead on one HTTP/2 stream and on the whole connection, in bytes.
const WINDOW_BYTES: (u32, u32) = (64 * 1024, 1024 * 1024);
/// After how much silence an HTTP/2 peer is pinged, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long a connection that was asked to end may take.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often the wall clock is compared with the certificate's end, for clocks that are set.
const WALL_CLOCK_CHECK: Duration = Duration::from_mins(1);

/// Serves a connection until it ends.
pub(super) async fn run<H: Handler>(
    context: Arc<Context<H>>,
    stream: TcpStream,
    address: SocketAddr,
    handshake: Option<OwnedSemaphorePermit>,
) {
    // It only costs speed where it fails.
    let _ = stream.set_nodelay(true);
    let limit = context.limits.handshake_timeout;
    let accepted = accept(context.tls.server_config(), limit, stream, address, &context.metrics).await;
    let Some(stream) = accepted else { return };
    // The place is taken by who has shown a certificate; who finds none waits among those who have not.
    let place = timeout(limit, context.places.clone().acquire_owned()).await;
    let Ok(Ok(_place)) = place else { return };
    drop(handshake);
    let _open = context.metrics.connection();
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let Some(not_after) = expiry(chain) else { return };
    let identity = context.tls.identify(chain).map(Arc::new);
    if let Err(error) = &identity {
        tracing::info!(peer = %address, cause = %error, "the client's certificate names nobody");
    }
    let peer = Peer { address, identity };
    if session.alpn_protocol() == Some(b"h2") {
        http2(context, peer, stream, not_after).await;
    } else {
        http1(context, peer, stream, not_after).await;
    }
}

fn expiry(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    chain.first().and_then(|leaf| identity::not_after(leaf).ok())
}

async fn http1<H: Handler>(context: Arc<Context<H>>, peer: Peer, stream: TlsStream<TcpStream>, not_after: Timestamp) {
    let patience = Patience { head: Some(context.limits.header_timeout), idle: context.limits.idle_timeout };
    let activity = Activity::new();
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let connection = http1::Builder::new()
        .max_header_size(usize::from(MAX_HEAD_BYTES))
        .max_buf_size(4 * usize::from(MAX_HEAD_BYTES))
        // `activity` does it, without a timer for each request.
        .header_read_timeout(None)
        .serve_connection(io, service(&context, peer, &activity, OnDrain::SayClose));
    drive(connection, &context, &activity, patience, not_after, OnDrain::SayClose).await;
}

async fn http2<H: Handler>(context: Arc<Context<H>>, peer: Peer, stream: TlsStream<TcpStream>, not_after: Timestamp) {
    let patience = Patience { head: None, idle: context.limits.idle_timeout };
    let activity = Activity::new();
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::from(MAX_HEAD_BYTES))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW_BYTES.0)
        .initial_connection_window_size(WINDOW_BYTES.1)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .serve_connection(TokioIo::new(stream), service(&context, peer, &activity, OnDrain::GoAway));
    drive(connection, &context, &activity, patience, not_after, OnDrain::GoAway).await;
}

/// How a protocol tells its client to go elsewhere without losing a request that is already on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDrain {
    /// HTTP/1.1: the next answer says `Connection: close`.
    SayClose,
    /// HTTP/2: GOAWAY, whose second frame names the last request that will be answered.
    GoAway,
}

fn service<H: Handler>(
    context: &Arc<Context<H>>,
    peer: Peer,
    activity: &Arc<Activity>,
    on_drain: OnDrain,
) -> impl HttpService<Incoming, ResBody = Full<Bytes>, Error = Infallible, Future: Send> + use<H> {
    let (context, peer, activity) = (context.clone(), Arc::new(peer), activity.clone());
    service_fn(move |request: Request<Incoming>| {
        let (context, peer, busy) = (context.clone(), peer.clone(), activity.begin());
        async move {
            let mut response: Response<_> = context.handler.handle(&peer, request).await;
            if on_drain == OnDrain::SayClose && *context.phase.borrow() != Phase::Serving {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(busy);
            Ok(response)
        }
    })
}

/// Drives a connection until it has ended, was idle or slow for too long, or its certificate has ended.
async fn drive<H, C>(
    connection: C,
    context: &Context<H>,
    activity: &Activity,
    patience: Patience,
    not_after: Timestamp,
    on_drain: OnDrain,
) where
    C: GracefulConnection<Error: std::fmt::Display>,
{
    let mut connection = pin!(connection);
    let mut phase = context.phase.clone();
    phase.mark_changed();
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
            Ok(()) = phase.changed() => {
                let phase = *phase.borrow_and_update();
                if phase == Phase::Closing || (phase == Phase::Draining && on_drain == OnDrain::GoAway) {
                    connection.as_mut().graceful_shutdown();
                }
            }
            () = timer.as_mut() => match next_check(activity, patience, not_after) {
                Some(next) => timer.as_mut().reset(next),
                // Half a request is no reason to wait for the rest.
                None if ending || (patience.head.is_some() && activity.is_reading_head()) => return,
                None => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    timer.as_mut().reset(Instant::now() + FAREWELL);
                }
            },
        }
    }
}

/// When the connection must be looked at again; `None` if its time is over.
fn next_check(activity: &Activity, patience: Patience, not_after: Timestamp) -> Option<Instant> {
    let now = Instant::now();
    let life = Duration::try_from(not_after.duration_since(Timestamp::now())).ok().filter(|life| !life.is_zero())?;
    let shortest = patience.head.unwrap_or(patience.idle).min(patience.idle);
    // While a request is handled, the soonest end is that of a wait that begins now.
    let deadline = activity.deadline(patience).unwrap_or(now + shortest);
    (deadline > now).then(|| deadline.min(now + shortest).min(now + life.min(WALL_CLOCK_CHECK)))
}
