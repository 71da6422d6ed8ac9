//! Heads over HTTP/2 that no library would send: without an end, or few bytes that stand for many.

use anyhow::{Context, Result, ensure};
use scalegate_tests::suite;
use tokio::io::AsyncRead;
use tokio::time::timeout;

use super::{PATIENCE, web};
use crate::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, GOAWAY, HEADERS, LAST_KEPT, RST_STREAM, field,
    get, kept_field, open, read, write,
};

/// `:status: 200`, which is entry 8 of HPACK's table.
const STATUS_200: u8 = 128 + 8;
/// `:status: 431`: the name of the same entry, and the value in HPACK's Huffman code.
const STATUS_431: [u8; 5] = [0x48, 0x83, 0x69, 0x90, 0xff];

fn frame(kind: u8, flags: u8, payload: Vec<u8>) -> Frame {
    Frame { kind, flags, stream: 1, payload }
}

#[tokio::test]
async fn a_flood_of_continuations_ends_its_connection_alone() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "floods").await?;
    let operator = suite.client("operator")?;
    let mut beside = operator.http2().await?;
    for (what, payload) in [
        ("empty frames", Vec::new()),
        ("small fields", field("x-small", "y")),
        ("large fields", field("x-large", "y".repeat(16_000))),
        ("a field without an end", vec![0; 16_000]),
    ] {
        let (mut reading, mut writing) = tokio::io::split(open(&operator).await?);
        let flood = async {
            write(&mut writing, &frame(HEADERS, END_STREAM, get())).await?;
            loop {
                write(&mut writing, &frame(CONTINUATION, 0, payload.clone())).await?;
            }
        };
        let end = async {
            let mut last = None;
            while let Some(frame) = read(&mut reading).await? {
                last = frame.code().filter(|_| frame.kind == GOAWAY).or(last);
            }
            anyhow::Ok(last)
        };
        // The flood never ends by itself: only an error of the connection ends it.
        let both = async { tokio::join!(flood, end) };
        let (flooded, code): (Result<()>, _) =
            timeout(PATIENCE, both).await.with_context(|| format!("{what}: no end"))?;
        ensure!(flooded.is_err(), "{what}: the flood went on");
        assert_eq!(code?, Some(ENHANCE_YOUR_CALM), "{what}: how the connection ended");
        assert_eq!(beside.get(&path).await?.status, 200, "{what}");
        assert_eq!(operator.http2().await?.get(&path).await?.status, 200, "{what}");
    }
    Ok(())
}

#[tokio::test]
async fn a_head_of_few_bytes_that_stand_for_too_many_is_refused() -> Result<()> {
    let suite = suite::shared().await?;
    let viewer = suite.client("viewer")?;
    // 4,000 bytes in the table, and then the one byte that stands for them, many times.
    let bomb = |times| [get(), kept_field("x-kept", &"y".repeat(4000)), vec![LAST_KEPT; times]].concat();

    // Too large: the stream ends, and the connection goes on.
    let mut stream = open(&viewer).await?;
    write(&mut stream, &frame(HEADERS, END_STREAM | END_HEADERS, bomb(10))).await?;
    let refused = timeout(PATIENCE, answer(&mut stream, 1)).await.context("no answer")??;
    assert_eq!((refused.kind, refused.payload.get(..5)), (HEADERS, Some(&STATUS_431[..])), "{refused:?}");
    let good = Frame { stream: 3, ..frame(HEADERS, END_STREAM | END_HEADERS, get()) };
    write(&mut stream, &good).await?;
    let served = timeout(PATIENCE, answer(&mut stream, 3)).await.context("no answer")??;
    assert_eq!((served.kind, served.payload.first()), (HEADERS, Some(&STATUS_200)), "{served:?}");

    // Four megabytes end the connection.
    let mut stream = open(&viewer).await?;
    write(&mut stream, &frame(HEADERS, END_STREAM | END_HEADERS, bomb(1000))).await?;
    let ended = timeout(PATIENCE, answer(&mut stream, 1)).await.context("no answer")??;
    assert_eq!((ended.kind, ended.code()), (GOAWAY, Some(ENHANCE_YOUR_CALM)), "{ended:?}");
    assert_eq!(viewer.http2().await?.get("/healthz").await?.status, 200);
    Ok(())
}

/// The head of the answer on a stream, or the frame that ends the stream or the connection.
async fn answer(connection: &mut (impl AsyncRead + Unpin), stream: u32) -> Result<Frame> {
    loop {
        let frame = read(connection).await?.context("the connection has ended")?;
        if frame.kind == GOAWAY || (frame.stream == stream && [HEADERS, RST_STREAM].contains(&frame.kind)) {
            return Ok(frame);
        }
    }
}
