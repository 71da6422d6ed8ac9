//! An API server for one gateway: paged lists, watches, and a Lease, over HTTP on the loopback interface. Only the
//! Lease can be written.

mod answers;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::collection::Collection;
use super::fleet::{Drives, Fleet, Kind};
use super::lease::{Holder, Lease};

/// What all connections share.
#[derive(Debug)]
struct Shared {
    fleet: Fleet,
    collections: [Collection; Kind::ALL.len()],
    lease: Mutex<Lease>,
    /// Whether lists are answered.
    open: watch::Sender<bool>,
    /// Refused requests: writes other than to the Lease, and reads of anything that is not served.
    writes: AtomicUsize,
}

impl Shared {
    fn collection(&self, kind: Kind) -> &Collection {
        &self.collections[kind as usize]
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running API server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct ApiServer {
    shared: Arc<Shared>,
    /// The address on which it serves.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiServer {
    /// Serves `fleet`. Lists are not answered before [`Self::open`]; another candidate has the Lease.
    pub(crate) async fn start(fleet: Fleet) -> Result<Self> {
        let collections = Kind::ALL.map(|kind| Collection::new(fleet.entries(kind).len()));
        let (lease, writes) = (Mutex::default(), AtomicUsize::new(0));
        let shared = Arc::new(Shared { fleet, collections, lease, open: watch::Sender::new(false), writes });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("bind the API server")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { shared, address, task })
    }

    /// What it serves.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.shared.fleet
    }

    /// Answers lists from now on.
    pub(crate) fn open(&self) {
        self.shared.open.send_replace(true);
    }

    /// Forgets the changes of `kinds`: their watches end with 410 Gone.
    pub(crate) fn expire(&self, kinds: &[Kind]) {
        for kind in kinds {
            self.shared.collection(*kind).expire();
        }
    }

    /// Changes the first `count` Deployments once each.
    pub(crate) fn change_deployments(&self, count: usize) {
        self.shared.collection(Kind::Deployments).change(0..count);
    }

    /// Changes each autoscaler of a part of the fleet once. Returns how many there are.
    pub(crate) fn change_autoscalers(&self, drives: Drives) -> usize {
        let all = self.fleet().entries(Kind::Autoscalers).iter().enumerate();
        let places: Vec<_> = all.filter(|(_, one)| one.drives == Some(drives)).map(|(place, _)| place).collect();
        self.shared.collection(Kind::Autoscalers).change(places.iter().copied());
        places.len()
    }

    /// Whether the gateway's watches have been handed every change.
    pub(crate) fn is_followed(&self) -> bool {
        self.shared.collections.iter().all(Collection::is_followed)
    }

    /// Gives the Lease to another candidate.
    pub(crate) fn take_lease(&self) {
        self.shared.lease().holder = Holder::Elsewhere;
    }

    /// Lets the gateway have the Lease.
    pub(crate) fn free_lease(&self) {
        self.shared.lease().holder = Holder::Nobody;
    }

    /// Whether the gateway has the Lease.
    pub(crate) fn lease_is_taken(&self) -> bool {
        matches!(self.shared.lease().holder, Holder::Candidate(_))
    }

    /// How many requests it refused.
    pub(crate) fn writes(&self) -> usize {
        self.shared.writes.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        // Otherwise the last frame of a burst waits for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move { Ok::<_, Infallible>(answers::answer(shared, request).await) }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        // If a connection breaks, the gateway has to open another.
        tokio::spawn(async { drop(connection.await) });
    }
}
