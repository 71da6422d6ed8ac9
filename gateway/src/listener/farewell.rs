//! Closes a connection so that the client still receives what was sent last.
//!
//! A socket that is closed over unread bytes is reset, and the reset overtakes what was sent before: an alert, or an
//! answer that came before the request's body. So the sending side is closed first, and the rest is read for a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::socket::Socket;
use super::turns::after_others;

/// How long a client may go on sending to a connection whose other side is closed.
const LINGER: Duration = Duration::from_secs(1);

/// Ends a TCP connection: closes the sending side, then reads until the client closes its own, for a second at most.
pub(super) async fn end(mut stream: TcpStream) {
    // The client is gone or does not stop: there is nobody to report to.
    let _ = timeout(LINGER, read_rest(&mut stream)).await;
}

async fn read_rest(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = vec![0; 16 * 1024];
    while stream.read(&mut rest).await? > 0 {
        // A client may send as fast as this reads.
        after_others().await;
    }
    Ok(())
}

/// Ends a TLS connection in the same way, with TLS's own end (`close_notify`) first.
pub(super) async fn end_tls(mut stream: TlsStream<Socket>) {
    let _ = timeout(LINGER, stream.shutdown()).await;
    end(stream.into_inner().0.into_inner()).await;
}

/// A stream that goes back to its lender when its borrower drops it.
pub(super) struct Lent<S> {
    /// `None` only while it is dropped.
    stream: Option<S>,
    lender: Option<oneshot::Sender<S>>,
}

impl<S> Lent<S> {
    /// The stream to lend, and where it comes back.
    pub(super) fn new(stream: S) -> (Self, oneshot::Receiver<S>) {
        let (lender, back) = oneshot::channel();
        (Self { stream: Some(stream), lender: Some(lender) }, back)
    }

    fn stream(&mut self) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        if let Some((lender, stream)) = self.lender.take().zip(self.stream.take()) {
            // The lender may be gone too.
            let _ = lender.send(stream);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}
