//! A socket that keeps back the alert which ends a handshake.
//!
//! With TLS 1.3 a client is done with the handshake before its certificate was looked at. An alert that arrives before
//! the client has begun its first request finds no request to fail: Go's HTTP/2 then says that the connection could not
//! be established, Java's that the channel is closed, or nothing at all. One that arrives while a body is sent makes Go
//! report the body. So an alert waits until the client is quiet.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::farewell::read_some;
use super::pace::{AT_ONCE, Pace};

/// A client that sends nothing for so long has sent its request: longer than it takes to begin one.
const QUIET: Duration = Duration::from_millis(50);
/// The longest that an alert is kept back.
const ALERT_WITHIN: Duration = Duration::from_secs(1);
/// An encrypted record of two bytes, a type and a tag (RFC 8446, section 5.2): only an alert is that short.
const ALERT_RECORD: [u8; 5] = [0x17, 3, 3, 0, 2 + 1 + 16];
const ALERT_BYTES: usize = ALERT_RECORD.len() + 2 + 1 + 16;

/// A client's socket.
pub(super) struct Socket {
    stream: TcpStream,
    is_handshaking: bool,
    alert: Vec<u8>,
}

impl Socket {
    /// Before the handshake.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, is_handshaking: true, alert: Vec::new() }
    }

    /// From now on everything is sent at once.
    pub(super) fn handshake_done(&mut self) {
        self.is_handshaking = false;
    }

    /// Sends the alert of a handshake that failed, once the client, which is read at `pace`, is quiet; the socket.
    pub(super) async fn send_alert(mut self, pace: &mut Pace) -> TcpStream {
        if !self.alert.is_empty() {
            let mut sink = vec![0; AT_ONCE];
            let quiet = async {
                while matches!(timeout(QUIET, read_some(&self.stream, pace, &mut sink)).await, Ok(Ok(1..))) {}
            };
            let _ = timeout(ALERT_WITHIN, quiet).await;
            // A client that is gone needs none.
            let _ = timeout(ALERT_WITHIN, self.stream.write_all(&self.alert)).await;
        }
        self.stream
    }

    /// The socket alone.
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Whether `bytes` are an alert that is kept back.
    fn keeps(&mut self, bytes: &[u8]) -> bool {
        let keeps = self.is_handshaking && bytes.len() == ALERT_BYTES && bytes.starts_with(&ALERT_RECORD);
        if keeps {
            self.alert = bytes.to_vec();
        }
        keeps
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.keeps(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && self.keeps(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
