//! Closes a connection so that the client still receives what was sent last.
//!
//! A socket that is closed over unread bytes is reset, and the reset overtakes what was sent before: an alert, or an
//! answer that came before the request's body. So the sending side is closed first, and the rest is read for a while.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::pace::{AT_ONCE, Pace};
use super::socket::Socket;

/// How long a client may go on sending to a connection whose other side is closed.
const LINGER: Duration = Duration::from_secs(1);

/// Ends a TCP connection: closes the sending side, then reads at `pace` until the client closes its own, for a second at
/// most.
pub(super) async fn end(mut stream: TcpStream, pace: Pace) {
    // The client is gone or does not stop: there is nobody to report to.
    let _ = timeout(LINGER, read_rest(&mut stream, pace)).await;
}

async fn read_rest(stream: &mut TcpStream, pace: Pace) -> io::Result<()> {
    stream.shutdown().await?;
    let (mut rest, mut pace) = (vec![0; AT_ONCE], pace);
    while read_some(stream, &mut pace, &mut rest).await? > 0 {}
    Ok(())
}

/// Waits for bytes, and reads up to [`AT_ONCE`] of them at `pace` into `buffer`, which has room for so many.
pub(super) async fn read_some(stream: &TcpStream, pace: &mut Pace, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // Only what is there waits for its time.
        stream.readable().await?;
        let allowed = poll_fn(|cx| pace.poll_allowed(cx)).await;
        match stream.try_read(buffer.get_mut(..allowed).unwrap_or_default()) {
            Ok(read) => {
                pace.read(read);
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pace.nothing(),
            Err(error) => return Err(error),
        }
    }
}

/// Ends a TLS connection in the same way, with TLS's own end (`close_notify`) first.
pub(super) async fn end_tls(mut stream: TlsStream<Socket>, pace: Pace) {
    let _ = timeout(LINGER, stream.shutdown()).await;
    end(stream.into_inner().0.into_inner(), pace).await;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::num::NonZeroU32;

    use socket2::SockRef;

    use super::*;
    use crate::clients::testing::clients_with_rate;
    use crate::listener::handshake::refuse;
    use crate::ports;

    /// How much a client that goes on sending gets rid of until its connection is closed by what `ends` makes of it.
    async fn sent_until<F>(ends: impl FnOnce(TcpStream) -> F) -> usize
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = ports::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (mut client, server) = (client.unwrap(), accepted.unwrap().0);
        SockRef::from(&client).set_send_buffer_size(4096).unwrap();
        let ending = tokio::spawn(ends(server));
        let mut sent = 0;
        while client.write_all(&[0; 4096]).await.is_ok() {
            sent += 4096;
        }
        ending.await.unwrap();
        sent
    }

    /// Of a client that may send 64 KiB ahead, and 256 KiB a second.
    fn pace() -> Pace {
        Pace::new(clients_with_rate(NonZeroU32::new(256)).account(None))
    }

    #[tokio::test]
    async fn what_comes_after_the_end_is_read_at_the_client_s_rate() {
        // For a second; the kernel keeps some.
        let sent = sent_until(|server| end(server, pace())).await;
        assert!((64 << 10..512 << 10).contains(&sent), "{sent}");
    }

    #[tokio::test]
    async fn a_client_that_is_refused_and_goes_on_sending_is_read_at_its_rate() {
        let alert = [&[0x17, 3, 3, 0, 19][..], &[0; 19]].concat();
        // For a second until its alert, and for another one.
        let sent = sent_until(|server| async move {
            let mut socket = Socket::new(server);
            socket.write_all(&alert).await.unwrap();
            refuse(socket, pace()).await;
        })
        .await;
        assert!((64 << 10..1 << 20).contains(&sent), "{sent}");
    }
}
