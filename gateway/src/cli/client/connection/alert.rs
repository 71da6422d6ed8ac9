//! Notes the TLS alert by which a gateway ends a connection: HTTP/2 passes on only its text, and to no request that was
//! not sent yet.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use tokio::net::TcpStream;
use tower_service::Service;

/// The last alert, if there was one.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert(Arc<Mutex<Option<AlertDescription>>>);

impl Alert {
    /// The last alert, once.
    pub(super) fn take(&self) -> Option<AlertDescription> {
        self.slot().take()
    }

    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            *self.slot() = Some(*alert);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<AlertDescription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, and notes alerts.
#[derive(Debug, Clone)]
pub(super) struct AlertConnector {
    https: HttpsConnector<HttpConnector>,
    alert: Alert,
}

impl AlertConnector {
    pub(super) fn new(https: HttpsConnector<HttpConnector>, alert: Alert) -> Self {
        Self { https, alert }
    }
}

impl Service<Uri> for AlertConnector {
    type Response = AlertStream;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<AlertStream, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let (connecting, alert) = (self.https.call(server), self.alert.clone());
        Box::pin(async move { Ok(AlertStream { stream: connecting.await?, alert }) })
    }
}

/// A connection whose alerts are noted.
pub(super) struct AlertStream {
    stream: MaybeHttpsStream<TokioIo<TcpStream>>,
    alert: Alert,
}

impl Connection for AlertStream {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl Read for AlertStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read {
            self.alert.note(error);
        }
        read
    }
}

impl Write for AlertStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}
