//! The client that floods, in a separate process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};
use scalegate_tests::client::Client;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, LAST_KEPT, PING, RST_STREAM, SETTINGS, field, get,
    kept_field, open, request,
};
use crate::soak;

/// The name of [`attacker`], and the variables that say what it does.
pub(super) const ATTACKER: &str = "floods::attacker::attacker";
pub(super) const FLOOD: &str = "SCALEGATE_FLOOD";
pub(super) const ADDRESS: &str = "SCALEGATE_FLOOD_ADDRESS";
pub(super) const CERTIFICATES: &str = "SCALEGATE_FLOOD_CERTIFICATES";

const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;

/// How many frames are written at once, and how many times on one connection.
const FRAMES: u32 = 100;
const WRITES: u32 = 500;
/// The pause of a client that is slow, and how long it goes on.
const SLOWLY: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

/// A way to flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    /// None: what the others are compared with.
    Computing,
    /// Requests that are reset at once.
    RapidReset,
    /// A head without an end.
    Continuations,
    /// A body that goes on without a byte.
    EmptyData,
    Settings,
    Pings,
    WindowUpdates,
    Priorities,
    /// Few bytes that stand for many.
    HpackBomb,
    LargeHeads,
    /// Heads that come byte by byte.
    SlowHeads,
    SlowBodies,
    /// Answers that nobody reads.
    Unread,
    Handshakes,
    /// Connections that never begin their handshake.
    HalfHandshakes,
    /// Streams that are opened and left.
    Streams,
}

impl Flood {
    /// All that flood.
    pub(super) const ALL: [Self; 15] = [
        Self::RapidReset,
        Self::Continuations,
        Self::EmptyData,
        Self::Settings,
        Self::Pings,
        Self::WindowUpdates,
        Self::Priorities,
        Self::HpackBomb,
        Self::LargeHeads,
        Self::SlowHeads,
        Self::SlowBodies,
        Self::Unread,
        Self::Handshakes,
        Self::HalfHandshakes,
        Self::Streams,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Computing => "computing",
            Self::RapidReset => "rapid reset",
            Self::Continuations => "continuations",
            Self::EmptyData => "empty data",
            Self::Settings => "settings",
            Self::Pings => "pings",
            Self::WindowUpdates => "window updates",
            Self::Priorities => "priorities",
            Self::HpackBomb => "HPACK bombs",
            Self::LargeHeads => "large heads",
            Self::SlowHeads => "slow heads",
            Self::SlowBodies => "slow bodies",
            Self::Unread => "unread answers",
            Self::Handshakes => "handshakes",
            Self::HalfHandshakes => "half handshakes",
            Self::Streams => "streams left",
        }
    }

    /// How many connections there are at once.
    fn connections(self) -> usize {
        match self {
            Self::SlowHeads | Self::SlowBodies | Self::HalfHandshakes => 200,
            Self::Unread | Self::Streams => 20,
            _ => 8,
        }
    }
}

#[test]
#[ignore = "it floods, so another test runs it in a separate process"]
fn attacker() -> Result<()> {
    let variable = |name: &str| std::env::var(name).with_context(|| name.to_owned());
    let name = variable(FLOOD)?;
    let flood = Flood::ALL.into_iter().find(|flood| flood.name() == name).unwrap_or(Flood::Computing);
    let address: SocketAddr = variable(ADDRESS)?.parse()?;
    let client = Client::with_certificate(address, &PathBuf::from(variable(CERTIFICATES)?), "stranger")?;
    if !soak::is_asked_for() {
        // On a machine whose cores both have work already, the honest client has its turn.
        rustix::process::setpriority_process(None, 19)?;
    }
    let done = Arc::<Done>::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut floods = JoinSet::new();
        for _ in 0..flood.connections() {
            floods.spawn(go_on(flood, client.clone(), address, done.clone()));
        }
        // The other process ends it.
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = ended.send(());
        });
        let _ = end.await;
    });
    runtime.shutdown_background();
    println!("attacker: {} connections, {} frames", done.connections.load(Relaxed), done.frames.load(Relaxed));
    Ok(())
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    connections: AtomicU64,
    /// Those of a flood of frames that were written.
    frames: AtomicU64,
}

/// Floods over one connection after another. That the gateway ends them is its defence.
async fn go_on(flood: Flood, client: Client, address: SocketAddr, done: Arc<Done>) {
    loop {
        done.connections.fetch_add(1, Relaxed);
        if once(flood, &client, address, &done).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    Frame { kind, flags, stream, payload: payload.to_vec() }.bytes()
}

/// One connection.
async fn once(flood: Flood, client: &Client, address: SocketAddr, done: &Done) -> Result<()> {
    const WHOLE: u8 = END_HEADERS | END_STREAM;
    let nothing = Vec::new();
    match flood {
        Flood::Computing => {
            for number in 0..100_000_u64 {
                std::hint::black_box(number);
            }
            tokio::task::yield_now().await;
            Ok(())
        }
        Flood::RapidReset => {
            pour(client, done, nothing, true, |stream| {
                [frame(HEADERS, WHOLE, stream, &get()), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
            })
            .await
        }
        Flood::Continuations => {
            let begin = frame(HEADERS, END_STREAM, 1, &get());
            pour(client, done, begin, true, |_| frame(CONTINUATION, 0, 1, &field("x-small", "y"))).await
        }
        Flood::EmptyData => {
            let begin = frame(HEADERS, END_HEADERS, 1, &request("PUT", "/v1/namespaces/x/deployments/y/replicas"));
            pour(client, done, begin, true, |_| frame(DATA, 0, 1, &[])).await
        }
        Flood::Settings => {
            pour(client, done, nothing, false, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])).await
        }
        Flood::Pings => pour(client, done, nothing, false, |_| frame(PING, 0, 0, &[0; 8])).await,
        Flood::WindowUpdates => pour(client, done, nothing, true, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])).await,
        Flood::Priorities => {
            pour(client, done, nothing, true, |stream| frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1])).await
        }
        Flood::HpackBomb => {
            let kept = kept_field("x-kept", &"y".repeat(4000));
            let bomb = [get(), kept, vec![LAST_KEPT; 1000]].concat();
            pour(client, done, nothing, true, move |stream| frame(HEADERS, WHOLE, stream, &bomb)).await
        }
        Flood::LargeHeads => large_head(client).await,
        Flood::SlowHeads => slowly(client, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", b"y").await,
        Flood::SlowBodies => {
            let head = b"PUT /v1/namespaces/x/deployments/y/replicas HTTP/1.1\r\nHost: localhost\r\n\
                         Content-Type: application/json\r\nContent-Length: 8000\r\n\r\n{";
            slowly(client, head, b" ").await
        }
        Flood::Unread => unread(client).await,
        Flood::Handshakes => client.tls(b"h2").await.map(drop),
        Flood::HalfHandshakes => {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(&[0x16, 3, 1, 2, 0]).await?;
            until_end(&mut stream).await
        }
        Flood::Streams => streams(client).await,
    }
}

/// Writes frames until the gateway ends the connection, or enough of them. `next` makes one of each odd number.
async fn pour(client: &Client, done: &Done, begin: Vec<u8>, reads: bool, next: impl Fn(u32) -> Vec<u8>) -> Result<()> {
    let (reading, mut writing) = tokio::io::split(open(client).await?);
    let writing = async {
        writing.write_all(&begin).await?;
        for part in 0..WRITES {
            let frames: Vec<u8> = (0..FRAMES).flat_map(|frame| next(2 * (part * FRAMES + frame) + 1)).collect();
            writing.write_all(&frames).await?;
            done.frames.fetch_add(FRAMES.into(), Relaxed);
        }
        anyhow::Ok(())
    };
    tokio::select! {
        written = timeout(LONG, writing) => written?,
        // One that does not read waits until it can write no more.
        () = discard(reading), if reads => Ok(()),
    }
}

async fn discard(mut stream: impl AsyncRead + Unpin) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

async fn until_end(stream: &mut (impl AsyncRead + Unpin)) -> Result<()> {
    timeout(LONG, discard(stream)).await.context("it goes on")
}

async fn large_head(client: &Client) -> Result<()> {
    let mut stream = client.tls(b"http/1.1").await?;
    let head = [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(), vec![b'y'; 1 << 20]].concat();
    // The gateway answers before all of it is there.
    let _ = stream.write_all(&head).await;
    until_end(&mut stream).await
}

/// Sends one more byte now and then.
async fn slowly(client: &Client, begin: &[u8], more: &[u8]) -> Result<()> {
    let (reading, mut writing) = tokio::io::split(client.tls(b"http/1.1").await?);
    let writing = async {
        write(&mut writing, begin).await?;
        loop {
            sleep(SLOWLY).await;
            write(&mut writing, more).await?;
        }
    };
    tokio::select! {
        written = timeout(LONG, writing) => written?,
        () = discard(reading) => Ok(()),
    }
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

/// Asks for much and reads nothing of it.
async fn unread(client: &Client) -> Result<()> {
    let get = frame(HEADERS, END_HEADERS | END_STREAM, 1, &request("GET", "/openapi.json"));
    let mut http2 = open(client).await?;
    let mut requests = Vec::new();
    for stream in (1..200_u32).step_by(2) {
        let mut get = get.clone();
        get[5..9].copy_from_slice(&stream.to_be_bytes());
        requests.extend(get);
    }
    write(&mut http2, &requests).await?;
    let mut http1 = client.tls(b"http/1.1").await?;
    write(&mut http1, "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200).as_bytes()).await?;
    sleep(LONG).await;
    Ok(())
}

/// Opens streams, waits until something comes, and leaves.
async fn streams(client: &Client) -> Result<()> {
    let mut stream = open(client).await?;
    let mut requests = Vec::new();
    for number in (1..100_u32).step_by(2) {
        requests.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            number,
            &request("GET", "/v1/deployments?watch=true"),
        ));
    }
    write(&mut stream, &requests).await?;
    let mut some = [0; 1024];
    for _ in 0..10 {
        let _ = timeout(LONG, stream.read(&mut some)).await??;
    }
    Ok(())
}
