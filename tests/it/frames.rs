//! HTTP/2 without a library that would keep its rules (RFC 9113).

use anyhow::{Context, Result, bail};
use scalegate_tests::client::Client;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// GOAWAY's code for a peer that makes more work than it should.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection that has sent its preface.
pub(crate) async fn open(client: &Client) -> Result<TlsStream<TcpStream>> {
    let mut stream = client.tls(b"h2").await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    write(&mut stream, &Frame { kind: SETTINGS, flags: 0, stream: 0, payload: Vec::new() }).await?;
    Ok(stream)
}

pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> Result<()> {
    stream.write_all(&frame.bytes()).await?;
    Ok(stream.flush().await?)
}

/// The next frame; `None` once the gateway has ended the connection.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Frame>> {
    let mut head = [0; 9];
    if stream.read_exact(&mut head).await.is_err() {
        return Ok(None);
    }
    let ([length @ .., kind, flags], id) = head.split_at(5) else { bail!("a frame's head has nine bytes") };
    let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let mut payload = vec![0; usize::try_from(number(length))?];
    stream.read_exact(&mut payload).await.context("a frame without an end")?;
    Ok(Some(Frame { kind: *kind, flags: *flags, stream: number(id), payload }))
}

impl Frame {
    /// The frame as it is sent; its length has 24 bits.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = self.payload.len().to_be_bytes();
        let length = &length[length.len() - 3..];
        [length, &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// The code of a frame that ends a connection or a stream.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            GOAWAY => 4,
            RST_STREAM => 0,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }
}

/// A field as HPACK writes it when it names nothing from a table (RFC 7541, section 6.2.2).
pub(crate) fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0], &text(name.as_ref())[..], &text(value.as_ref())].concat()
}

/// A field that is kept in the table, as number 62 until the next one (section 6.2.1).
pub(crate) fn kept_field(name: &str, value: &str) -> Vec<u8> {
    [&[0x40], &text(name.as_bytes())[..], &text(value.as_bytes())].concat()
}

/// The field that was kept last (section 6.1).
pub(crate) const LAST_KEPT: u8 = 128 + 62;

/// A GET of `/healthz`, without more fields.
pub(crate) fn get() -> Vec<u8> {
    request("GET", "/healthz")
}

/// A request without more fields.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        .map(|(name, value)| field(name, value))
        .concat()
}

/// A text that is not compressed: its length in 7 bits and, where it takes more, groups of 7 (section 5.1).
fn text(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(length @ 0..127) = u8::try_from(text.len()) {
        bytes.push(length);
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap_or_default());
    }
    bytes.extend(text);
    bytes
}
