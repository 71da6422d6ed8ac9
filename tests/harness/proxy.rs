//! A network between a gateway and its API server that can be made to swallow everything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::kubeconfig;

/// A TCP proxy on the loopback interface. Dropping it ends its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    swallows: watch::Sender<bool>,
    /// Dropping it ends the task, and with it all connections.
    _serving: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to `upstream`.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (swallows, state) = watch::channel(false);
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, upstream, state));
        Ok(Self { address, swallows, _serving: serving })
    }

    /// From now on, nothing arrives at either side: connections stay open, new ones are accepted, and what is sent over
    /// them is read and lost.
    pub fn swallow(&self) {
        self.swallows.send_replace(true);
    }

    /// New connections are served again. Those that have lost something end.
    pub fn restore(&self) {
        self.swallows.send_replace(false);
    }

    /// A copy of `kubeconfig` under `path` that leads through the proxy.
    pub fn kubeconfig(&self, kubeconfig: &Path, path: &Path) -> Result<PathBuf> {
        kubeconfig::write_with_server(path, kubeconfig, &format!("https://{}", self.address))?;
        Ok(path.to_owned())
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, state: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => drop(connections.spawn(serve(stream, upstream, state.clone()))),
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<bool>) {
    // Kept open, so that the server notices nothing either.
    let mut server = None;
    if !*state.borrow() {
        let Ok(mut connected) = TcpStream::connect(upstream).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut connected) => return,
            Ok(_) = state.wait_for(|swallows| *swallows) => server = Some(connected),
        }
    }
    let mut lost = vec![0; 16 * 1024];
    tokio::select! {
        () = async { while matches!(client.read(&mut lost).await, Ok(1..)) {} } => {}
        _ = state.wait_for(|swallows| !*swallows) => {}
    }
    drop(server);
}

/// The address of an API server's URL that names one.
pub fn address_of(url: &str) -> Result<SocketAddr> {
    let address = url.strip_prefix("https://").unwrap_or(url);
    address.parse().with_context(|| format!("{url} names no address"))
}
