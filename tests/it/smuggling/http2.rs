//! The same over HTTP/2, whose frames say where a request ends: fields that mean something else over HTTP/1.1, and frames
//! in the wrong place (RFC 9113, section 8).

mod frames;
mod requests;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scalegate_tests::client::Client;
use scalegate_tests::gateway::read_records;
use scalegate_tests::suite;
use tokio::time::timeout;

use super::{AT_ONCE, Came, Names, PATIENCE, connect, decisions};
use crate::frames::{DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, field, open, read, write};

/// The stream of the entry, and that of the request behind it, which says whether the connection goes on.
const STREAM: u32 = 1;
const SENTINEL: u32 = 101;

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;

/// What comes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// An answer with this status.
    Answer(u16),
    /// The stream is reset with this code, and the connection goes on.
    Reset(u32),
    /// The connection ends with this code.
    GoAway(u32),
}

/// What is sent, and what must come of it.
struct Entry {
    what: String,
    frames: Vec<Frame>,
    end: End,
    decided: Vec<&'static str>,
}

type Field<'a> = (&'a [u8], &'a [u8]);

impl Entry {
    /// A request without a body.
    fn fields(what: impl Into<String>, fields: &[Field<'_>], end: End, decided: &[&'static str]) -> Self {
        Self { what: what.into(), frames: vec![head(fields, END_STREAM)], end, decided: decided.to_vec() }
    }

    fn frames(what: impl Into<String>, frames: Vec<Frame>, end: End, decided: &[&'static str]) -> Self {
        Self { what: what.into(), frames, end, decided: decided.to_vec() }
    }
}

/// The fields of a request for `@seen`.
fn base(method: &str) -> Vec<Field<'_>> {
    vec![(b":method", method.as_bytes()), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"@seen")]
}

/// A whole head. The names in its fields are filled in later.
fn head(fields: &[Field<'_>], flags: u8) -> Frame {
    let payload = fields.iter().flat_map(|(name, value)| marked(name, value)).collect();
    Frame { kind: HEADERS, flags: flags | END_HEADERS, stream: STREAM, payload }
}

fn data(bytes: impl Into<Vec<u8>>, flags: u8) -> Frame {
    Frame { kind: DATA, flags, stream: STREAM, payload: bytes.into() }
}

/// Between these, a field waits for its names to be filled in, since its length is written before it.
const MARK: u8 = 0xfe;

fn marked(name: &[u8], value: &[u8]) -> Vec<u8> {
    if !value.contains(&b'@') {
        return field(name, value);
    }
    [&[MARK], name, &[MARK], value, &[MARK]].concat()
}

/// A frame with the names in it.
fn filled(frame: &Frame, names: &Names) -> Frame {
    let mut payload = Vec::new();
    let mut rest = &frame.payload[..];
    if frame.kind == DATA {
        payload = names.fill(rest);
        rest = &[];
    }
    while let Some(at) = rest.iter().position(|byte| *byte == MARK) {
        payload.extend(&rest[..at]);
        let mut parts = rest[at + 1..].splitn(3, |byte| *byte == MARK);
        let (name, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        payload.extend(field(name, names.fill(value)));
        rest = parts.next().unwrap_or_default();
    }
    payload.extend(rest);
    Frame { payload, ..*frame }
}

/// Sends an entry, and a request behind it; what came of the entry, from where, and whether the other was answered.
async fn send(client: &Client, frames: &[Frame]) -> Result<(Came, Option<End>)> {
    let (stream, peer) = connect(async || open(client).await).await?;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let version = [
        (&b":method"[..], &b"GET"[..]),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/v1/version"),
    ];
    let sentinel = Frame { stream: SENTINEL, ..head(&version, END_STREAM) };
    let sending = async {
        for frame in frames.iter().chain([&sentinel]) {
            // The gateway may end the connection before all of it is sent.
            if write(&mut writing, frame).await.is_err() {
                return;
            }
        }
    };
    let (mut statuses, mut end) = (Vec::new(), None);
    let reading = async {
        while let Some(frame) = read(&mut reading).await? {
            match (frame.kind, frame.stream) {
                (GOAWAY, _) => end = frame.code().map(End::GoAway),
                (RST_STREAM, STREAM) => end = end.or(frame.code().map(End::Reset)),
                (HEADERS, STREAM) => end = end.or(Some(End::Answer(status(&frame.payload)?))),
                (HEADERS, SENTINEL) => statuses.push(status(&frame.payload)?),
                _ => {}
            }
            // The other request may be answered first.
            if end.is_some() && !statuses.is_empty() {
                break;
            }
        }
        anyhow::Ok(())
    };
    let both = async { tokio::join!(sending, reading).1 };
    // Without an end, the statuses are missing.
    let _ = timeout(PATIENCE, both).await;
    Ok((Came { peer, answers: Ok(statuses) }, end))
}

/// The status of a head, which comes first (RFC 9113, section 8.3), as HPACK writes it without its table.
fn status(block: &[u8]) -> Result<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [first @ 0x88..=0x8e, ..] => Ok(INDEXED[usize::from(first - 0x88)]),
        // Huffman's code, of two to three bytes.
        [0x48 | 0x08 | 0x18, length @ 0x82..=0x83, rest @ ..] => {
            digits(rest.get(..usize::from(length & 0x7f)).context("a status")?)
        }
        [0x48 | 0x08 | 0x18, 3, rest @ ..] => Ok(std::str::from_utf8(rest.get(..3).context("a status")?)?.parse()?),
        // A change of the table's size.
        [0x20..=0x3f, rest @ ..] => status(rest),
        other => anyhow::bail!("no status in {other:?}"),
    }
}

/// Three digits in HPACK's Huffman code (RFC 7541, appendix B).
fn digits(bytes: &[u8]) -> Result<u16> {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut number = 0;
    for _ in 0..3 {
        let mut next = || bits.next().context("a digit that is cut short");
        let mut code = 0;
        for _ in 0..5 {
            code = code << 1 | next()?;
        }
        // 0 to 2 have five bits, the others six.
        let digit = if code <= 2 { code } else { (code << 1 | next()?) - 0x19 + 3 };
        number = number * 10 + digit;
    }
    Ok(number)
}

#[tokio::test]
async fn nothing_is_hidden_in_a_request_of_http2_and_no_name_is_read_as_another() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("smuggling2").await?;
    let operator = suite.client("operator")?;
    let entries = requests::entries().into_iter().chain(frames::entries()).enumerate();
    let entries: Vec<_> =
        entries.map(|(number, entry)| (Names { namespace: namespace.clone(), number }, entry)).collect();
    let sent = entries.iter().map(|(names, entry)| {
        let frames: Vec<_> = entry.frames.iter().map(|frame| filled(frame, names)).collect();
        let client = &operator;
        async move { send(client, &frames).await.with_context(|| entry.what.clone()) }
    });
    let before = read_records(suite.gateway_log_path()).len();
    let came: Vec<_> = stream::iter(sent).buffered(AT_ONCE).try_collect().await?;

    let mut on_record = decisions(&suite, &namespace, before).await?;
    let mut wrong = Vec::new();
    for ((names, entry), (came, end)) in entries.iter().zip(&came) {
        if *end != Some(entry.end) {
            wrong.push(format!("{}: {end:?}, not {:?}", entry.what, entry.end));
        }
        let goes_on = !matches!(entry.end, End::GoAway(_));
        let after = came.answers.as_deref().unwrap_or_default();
        if goes_on && after != [200] {
            wrong.push(format!("{}: the request behind it is answered {after:?}", entry.what));
        }
        let decided = on_record.remove(&came.peer.to_string()).unwrap_or_default();
        let expected = names.decisions(&entry.decided);
        if decided != expected {
            wrong.push(format!("{}: decisions {decided:?}, not {expected:?}", entry.what));
        }
    }
    let kinds: BTreeSet<_> = entries.iter().map(|(_, entry)| &entry.what).collect();
    ensure!(kinds.len() == entries.len(), "{} entries are alike", entries.len() - kinds.len());
    let count = |suits: fn(&End) -> bool| entries.iter().filter(|(_, entry)| suits(&entry.end)).count();
    println!(
        "{} requests of HTTP/2: {} are answered, {} are reset, {} end their connection",
        entries.len(),
        count(|end| matches!(end, End::Answer(_))),
        count(|end| matches!(end, End::Reset(_))),
        count(|end| matches!(end, End::GoAway(_))),
    );
    ensure!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
