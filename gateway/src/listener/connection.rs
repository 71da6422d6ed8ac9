//! The life of one connection: handshake, requests, end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{Fuse, FusedFuture};
use http::header::{CONNECTION, HeaderValue};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Busy, Patience};
use super::body::{Keeping, ResponseBody};
use super::farewell::{Lent, end_tls};
use super::gathering::poll_gathered;
use super::handshake::{accept, refuse};
use super::handshakes::Handshake;
use super::live::State;
use super::outcome::Outcome;
use super::pace::Pace;
use super::socket::Socket;
use super::standing::Standing;
use super::{Context, Handler, Peer, Phase};
use crate::clients::{Account, Admission, Exceeded};
use crate::identity::{ClientIdentity, IdentityError};

/// The largest head of a request in bytes.
const MAX_HEAD_BYTES: u16 = 16 * 1024;
/// Streams at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// What a client may send ahead on one HTTP/2 stream and on the whole connection, in bytes: the initial windows of HTTP/2
/// (RFC 9113, section 6.9.2). Smaller ones for streams become negative where a client has sent before it knows them, which
/// Python's httpx does not survive.
const WINDOW_BYTES: u32 = 65_535;
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
    handshake: Handshake,
) {
    // It only costs speed where it fails.
    let _ = stream.set_nodelay(true);
    // What changes from here on, also during the handshake, is noticed by the connection once it is open.
    let mut state = context.live.subscribe();
    let tls = state.borrow_and_update().tls.clone();
    let accepting = accept(&context, tls.server_config(), stream, address);
    let accepted = tokio::select! {
        accepted = accepting => accepted,
        () = handshake.crowded_out() => return context.metrics.handshake(Outcome::CrowdedOut),
    };
    let stream = match accepted {
        Ok(stream) => stream,
        Err(None) => return,
        Err(Some(socket)) => {
            let pace = Pace::new(context.clients.account(None));
            return tokio::select! {
                () = refuse(socket, pace) => {}
                () = handshake.crowded_out() => {}
            };
        }
    };
    let session = stream.get_ref().1;
    let standing = Standing::new(session.peer_certificates().unwrap_or_default(), &tls);
    let identity = standing.identity().clone();
    if let Err(error) = &identity
        && context.logs.refused.allows()
    {
        tracing::info!(peer = %address, cause = %error, "the client's certificate names nobody");
    }
    let account = context.clients.account(identity.as_deref().ok());
    let _place = match account.connect() {
        Ok(place) => place,
        Err(exceeded) => {
            report_no_place(&context, address, &identity, exceeded);
            return tokio::select! {
                () = end_tls(stream, Pace::new(account)) => {}
                () = handshake.crowded_out() => {}
            };
        }
    };
    drop(handshake);
    let _open = context.metrics.connection();
    let peer = Peer { address, identity, account };
    // Boxed, since the task of a connection is moved several times, and is as large as what it may become.
    if session.alpn_protocol() == Some(b"h2") {
        Box::pin(http2(context, peer, stream, standing, state)).await;
    } else {
        Box::pin(http1(context, peer, stream, standing, state)).await;
    }
}

/// Counts and logs a client for whose connection there is no place.
fn report_no_place<H>(
    context: &Context<H>,
    address: SocketAddr,
    identity: &Result<Arc<ClientIdentity>, IdentityError>,
    exceeded: Exceeded,
) {
    context.metrics.no_place(exceeded);
    if context.logs.ended.allows() {
        let client = identity.as_ref().map_or("nobody", |identity| identity.id().as_str());
        let (client_limit, limit) = (context.limits.max_connections_per_client, context.limits.max_connections);
        tracing::warn!(peer = %address, client, cause = %exceeded, client_limit, limit, "connection limit reached");
    }
}

async fn http1<H: Handler>(
    context: Arc<Context<H>>,
    peer: Peer,
    stream: TlsStream<Socket>,
    standing: Standing,
    state: watch::Receiver<State>,
) {
    let limits = &context.limits;
    let patience =
        Patience { head: Some(limits.header_timeout), idle: limits.idle_timeout, write: limits.write_timeout };
    let activity = Activity::new();
    let (stream, back) = Lent::new(stream);
    let account = peer.account.clone();
    let io = TokioIo::new(activity.watch(stream, Pace::new(account.clone())));
    let connection = http1::Builder::new()
        .max_header_size(usize::from(MAX_HEAD_BYTES))
        .max_buf_size(2 * usize::from(MAX_HEAD_BYTES))
        // `activity` does it, without a timer for each request.
        .header_read_timeout(None)
        .serve_connection(io, service(&context, peer, &activity, OnDrain::SayClose));
    let life = Life::new(&activity, patience, standing, OnDrain::SayClose, limits.max_connection_age);
    drive(connection, &context, life, state).await;
    bid_farewell(back, account).await;
}

async fn http2<H: Handler>(
    context: Arc<Context<H>>,
    peer: Peer,
    stream: TlsStream<Socket>,
    standing: Standing,
    state: watch::Receiver<State>,
) {
    let limits = &context.limits;
    let patience = Patience { head: None, idle: limits.idle_timeout, write: limits.write_timeout };
    let activity = Activity::new();
    let (stream, back) = Lent::new(stream);
    let account = peer.account.clone();
    let io = TokioIo::new(activity.watch(stream, Pace::new(account.clone())));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::from(MAX_HEAD_BYTES))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .serve_connection(io, service(&context, peer, &activity, OnDrain::GoAway));
    let life = Life::new(&activity, patience, standing, OnDrain::GoAway, limits.max_connection_age);
    drive(connection, &context, life, state).await;
    bid_farewell(back, account).await;
}

/// Ends the stream that a connection, which is over, has given back.
async fn bid_farewell(back: oneshot::Receiver<TlsStream<Socket>>, account: Arc<Account>) {
    if let Ok(stream) = back.await {
        end_tls(stream, Pace::new(account)).await;
    }
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
) -> impl HttpService<Incoming, ResBody = Keeping<Kept>, Error = Objected, Future: Send> + use<H> {
    let (context, peer, activity) = (context.clone(), Arc::new(peer), activity.clone());
    service_fn(move |request: Request<Incoming>| {
        let (context, peer, activity) = (context.clone(), peer.clone(), activity.clone());
        let busy = activity.begin();
        async move {
            if busy.is_refused() {
                return Err(Objected);
            }
            let admission = peer.account.admit();
            let mut response = match &admission {
                Ok(admission) => context.handler.handle(&peer, admission, request).await,
                Err(exceeded) => {
                    peer.account.pace_refusal().await;
                    context.handler.refuse(&peer, *exceeded, request).await
                }
            };
            if on_drain == OnDrain::SayClose && (activity.is_old() || context.live.phase() != Phase::Serving) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| {
                // A stream keeps its connection busy until it ends; of a whole answer the idle timeout bounds the sending.
                let busy = matches!(body, ResponseBody::Stream(_)).then_some(busy);
                let sending = body.is_long().then(|| activity.send());
                Keeping { body, sending, _kept: Kept { _admission: admission.ok(), _busy: busy } }
            }))
        }
    })
}

/// The client's certificate has ended the connection, and the client goes on sending requests.
#[derive(Debug, Error)]
#[error("the client's certificate has ended the connection")]
struct Objected;

/// What a request keeps until its answer was sent.
struct Kept {
    _admission: Option<Admission>,
    _busy: Option<Busy>,
}

/// What can end a connection.
struct Life<'a> {
    activity: &'a Activity,
    patience: Patience,
    standing: Standing,
    on_drain: OnDrain,
    /// When the connection is too old.
    old_at: Instant,
}

/// Drives a connection until it has ended, was idle or slow for too long, or its client would no longer get in.
async fn drive<H, C>(connection: C, context: &Context<H>, mut life: Life<'_>, mut state: watch::Receiver<State>)
where
    C: GracefulConnection<Error: std::fmt::Display>,
{
    let mut connection = pin!(connection);
    state.mark_changed();
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut ending = false;
    let mut tls = context.live.tls();
    let (activity, mut has_yielded) = (life.activity, false);
    // Thousands of connections that verified their chains in the same instant would keep all threads from requests.
    let mut turn = pin!(Fuse::terminated());
    loop {
        tokio::select! {
            ended = poll_fn(|cx| poll_gathered(connection.as_mut(), activity.is_shared(), &mut has_yielded, cx)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection failed");
                }
                return;
            }
            Ok(()) = state.changed() => {
                let phase = {
                    let state = state.borrow_and_update();
                    tls = state.tls.clone();
                    state.phase
                };
                if phase == Phase::Closing || (phase == Phase::Draining && life.on_drain == OnDrain::GoAway) {
                    connection.as_mut().graceful_shutdown();
                }
                if life.standing.is_outdated(&tls) && turn.is_terminated() {
                    turn.set(context.live.reviews().acquire().fuse());
                }
            }
            _turn = turn.as_mut(), if !turn.is_terminated() => {
                life.standing.review(&tls);
                // Also without an objection, its end may have come nearer.
                timer.as_mut().reset(Instant::now());
            }
            () = timer.as_mut() => match life.next_check() {
                Some(next) => {
                    if life.has_grown_old() {
                        context.metrics.old();
                        if life.on_drain == OnDrain::GoAway {
                            connection.as_mut().graceful_shutdown();
                        }
                    }
                    timer.as_mut().reset(next);
                }
                None if ending => return,
                None => {
                    life.tell_objection(context);
                    life.tell_unread(context);
                    // Half a request is no reason to wait for the rest.
                    if life.patience.head.is_some() && life.activity.is_reading_head() {
                        return;
                    }
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                    timer.as_mut().reset(Instant::now() + FAREWELL);
                }
            },
        }
    }
}

impl<'a> Life<'a> {
    /// The life of a connection that begins now; it is old at `max_age`, give or take a tenth, so that those that came
    /// together do not all leave together.
    fn new(
        activity: &'a Activity,
        patience: Patience,
        standing: Standing,
        on_drain: OnDrain,
        max_age: Duration,
    ) -> Self {
        let old_at = Instant::now() + max_age.mul_f64(0.9 + 0.2 * fastrand::f64());
        Self { activity, patience, standing, on_drain, old_at }
    }

    /// Returns whether the connection has grown too old since this was last asked. Over HTTP/1.1 the next answer says so:
    /// an idle connection is left alone, for a request may be on its way.
    fn has_grown_old(&self) -> bool {
        let is_new = self.old_at <= Instant::now() && !self.activity.is_old();
        if is_new {
            self.activity.grow_old();
        }
        is_new
    }

    /// When the connection must be looked at again; `None` if its time is over.
    fn next_check(&self) -> Option<Instant> {
        let now = Instant::now();
        let life = self.standing.life()?;
        let shortest = self.patience.shortest();
        // While a request is handled, the soonest end is that of a wait that begins now.
        let deadline = self.activity.deadline(self.patience).unwrap_or(now + shortest);
        let old_at = if self.activity.is_old() || self.old_at <= now { deadline } else { self.old_at };
        (deadline > now).then(|| deadline.min(old_at).min(now + shortest).min(now + life.min(WALL_CLOCK_CHECK)))
    }

    /// Counts that an answer which its client does not read ends the connection, if one does.
    fn tell_unread<H>(&self, context: &Context<H>) {
        if self.activity.write_deadline(self.patience).is_some_and(|deadline| deadline <= Instant::now()) {
            context.metrics.unread();
        }
    }

    /// Counts and logs that the client's certificate ends the connection, if it does.
    fn tell_objection<H>(&self, context: &Context<H>) {
        let Some(objection) = self.standing.objection() else { return };
        self.activity.end();
        context.metrics.ended(objection);
        if context.logs.ended.allows() {
            let client = self.standing.identity().as_ref().map_or("nobody", |identity| identity.id().as_str());
            tracing::info!(client, reason = objection.as_str(), "the client's certificate ends its connection");
        }
    }
}
