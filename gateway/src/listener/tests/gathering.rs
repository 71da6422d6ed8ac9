//! What the streams of one connection have to send at the same time is sent together.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pki::{Pki, limits};
use super::server::{PART, Server, get};
use crate::config;

const STREAMS: usize = 50;

/// A socket that counts the TLS records which arrive (RFC 8446, section 5.1).
struct Counted {
    socket: TcpStream,
    records: Arc<AtomicUsize>,
    /// What has arrived of a record's header.
    header: Vec<u8>,
    /// How much of its content is still to come.
    left: usize,
}

impl Counted {
    fn count(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.left > 0 {
                self.left -= 1;
                continue;
            }
            self.header.push(*byte);
            if let [_, _, _, high, low] = self.header[..] {
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.header.clear();
                self.records.fetch_add(1, Relaxed);
            }
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.count(&buffer.filled()[before..]);
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_many_streams_send_at_the_same_time_takes_few_records() {
    let pki = Pki::new();
    // A client may have a quarter of what is free.
    let server = Server::start(&pki, &config::Listen { max_requests: 20 * STREAMS, ..limits() });
    let records = Arc::new(AtomicUsize::new(0));
    let socket = TcpStream::connect(server.address).await.unwrap();
    let socket = Counted { socket, records: records.clone(), header: Vec::new(), left: 0 };
    let connector = TlsConnector::from(pki.client(Some(&pki.ci()), "h2"));
    let tls = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
    let (mut http2, connection): (SendRequest<Full<Bytes>>, _) =
        handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(http2.send_request(get("/parts")).await.unwrap().into_body());
    }
    let before = records.load(Relaxed);
    server.script.parts.send_replace(());
    for stream in &mut streams {
        let part = stream.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(part.len(), PART.len());
    }
    let records = records.load(Relaxed) - before;
    assert!(records < STREAMS / 4, "{records} records");
}
