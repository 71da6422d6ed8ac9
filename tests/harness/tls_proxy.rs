//! Adds TLS and a client's certificate to the connections of a program that has none.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::client::Client;

/// A proxy on the loopback interface. Dropping it ends its connections.
#[derive(Debug)]
pub struct TlsProxy {
    /// Where it accepts connections without TLS.
    pub address: SocketAddr,
    /// Dropping it ends the task, and with it all connections.
    _serving: JoinSet<()>,
}

impl TlsProxy {
    /// Starts a proxy to the gateway of `client`, as that client; `alpn` is what its programs speak.
    pub async fn start(client: Client, alpn: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, client, alpn));
        Ok(Self { address, _serving: serving })
    }
}

async fn accept(listener: TcpListener, client: Client, alpn: &'static [u8]) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => drop(connections.spawn(serve(stream, client.clone(), alpn))),
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut plain: TcpStream, client: Client, alpn: &'static [u8]) {
    // The program sees the end of its connection, whatever ended the other.
    if let Ok(mut tls) = client.tls(alpn).await {
        let _ = copy_bidirectional(&mut plain, &mut tls).await;
    }
}
