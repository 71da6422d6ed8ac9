//! Limits what each client may use at once, so that none can exhaust the gateway.
//!
//! Each connection, request and change takes a place while it lasts. One client may take a small part of the places,
//! and half of each kind is reserved for the trust domains in equal parts: neither one client nor all clients of one
//! trust domain can take them all.

mod credit;
mod inflow;
mod lines;
mod places;
mod rate;

use std::collections::HashMap;
use std::num::{NonZero, NonZeroU32};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

use self::credit::Credit;
use self::inflow::Inflow;
use self::lines::LogLines;
use self::places::{FEW, Places, Source, give_back, take};
use self::rate::Rate;
use crate::identity::ClientIdentity;

/// The number of accounts at which they are first swept.
const FIRST_SWEEP: usize = 1024;

/// The time of one client's refused request, in which no other of its requests is refused.
const REFUSAL: Duration = Duration::from_millis(1);

/// How many places of one kind there are, and how many of them one client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The places of all clients together.
    pub all: usize,
    /// The places that one client may take.
    pub of_client: usize,
}

/// The bounds of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections.
    pub connections: Bound,
    /// Requests, until their answers are sent. A list counts as several.
    pub requests: Bound,
    /// Changes, until the API server has answered.
    pub changes: Bound,
    /// Streams, until they end.
    pub streams: Bound,
    /// Refused requests whose bodies are still read, so that their clients can read the answer.
    pub refusals: Bound,
    /// Requests of one client in a second, a list counted as several; `None` for any number.
    pub rate: Option<NonZeroU32>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exceeded {
    /// The client has as many places as one client may take, or its part of those that are left.
    #[error("the client's limit is reached")]
    Client,
    /// Other clients have taken all places that are not reserved for other trust domains.
    #[error("the shared limit is reached")]
    All,
    /// The client has made as many requests as one client may in a second.
    #[error("the client's rate limit is reached")]
    Rate {
        /// How long until it may make the next one.
        wait: Duration,
    },
}

/// The clients of one gateway. Clones share their accounts.
#[derive(Debug, Clone)]
pub struct Clients(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    pools: Arc<Pools>,
    /// The trust domains, sorted.
    domains: Vec<String>,
    /// Requests of one client in a second.
    rate: Option<NonZeroU32>,
    accounts: Mutex<Accounts>,
}

#[derive(Debug)]
struct Pools {
    connections: Places,
    requests: Places,
    changes: Places,
    streams: Places,
    refusals: Places,
    /// The time that slow decisions of all clients took on serving threads.
    inline: Credit,
}

#[derive(Debug)]
struct Accounts {
    by_client: HashMap<Arc<str>, Arc<Account>>,
    /// The number of accounts at which unused ones are removed next.
    sweep_at: usize,
}

/// The places that one client has taken, and the time that its decisions took.
#[derive(Debug)]
pub struct Account {
    pools: Arc<Pools>,
    /// Trust domain and id: clients of two trust domains may have the same id.
    name: Arc<str>,
    domain: Option<usize>,
    connections: AtomicUsize,
    requests: AtomicUsize,
    changes: AtomicUsize,
    streams: AtomicUsize,
    refusals: AtomicUsize,
    inline: Credit,
    rate: Rate,
    inflow: Inflow,
    log: LogLines,
    /// Limits its concurrent decisions while it has many requests in progress.
    deciding: Semaphore,
    /// Refuses its requests one after another.
    refusing: Semaphore,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Connection,
    Request,
    Change,
    Stream,
    Refusal,
}

/// Places of one kind, taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    account: Arc<Account>,
    kind: Kind,
    count: usize,
    source: Source,
}

/// A client's turn to have a question decided; empty if the client has few requests in progress.
#[derive(Debug, Default)]
pub struct DecisionTurn<'a>(#[expect(dead_code, reason = "it is held")] Option<SemaphorePermit<'a>>);

/// An admitted request. Its places are taken until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Admitted>);

#[derive(Debug)]
struct Admitted {
    account: Arc<Account>,
    held: Mutex<Held>,
}

/// The places of a request.
#[derive(Debug)]
struct Held {
    #[expect(dead_code, reason = "it is held")]
    place: Place,
    /// The further places that a costly request took.
    wider: Option<Place>,
}

impl Clients {
    /// Limits the clients of `trust_domains` to `bounds`.
    pub fn new<'a>(bounds: &Bounds, trust_domains: impl IntoIterator<Item = &'a str>) -> Self {
        let mut domains: Vec<_> = trust_domains.into_iter().map(str::to_owned).collect();
        domains.sort();
        domains.dedup();
        let places = |bound| Places::new(bound, domains.len());
        let pools = Pools {
            connections: places(bounds.connections),
            requests: places(bounds.requests),
            changes: places(bounds.changes),
            streams: places(bounds.streams),
            refusals: places(bounds.refusals),
            inline: Credit::new(credit::OF_ALL),
        };
        let accounts = Accounts { by_client: HashMap::new(), sweep_at: FIRST_SWEEP };
        let (pools, accounts) = (Arc::new(pools), Mutex::new(accounts));
        Self(Arc::new(Registry { pools, domains, rate: bounds.rate, accounts }))
    }

    /// The account of `client`. All clients without an identity share one.
    pub fn account(&self, client: Option<&ClientIdentity>) -> Arc<Account> {
        let name = client.map(|client| format!("{}\0{}", client.trust_domain(), client.id())).unwrap_or_default();
        let mut accounts = self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.by_client.get(name.as_str()) {
            return account.clone();
        }
        accounts.sweep();
        let domain = client.and_then(|client| self.0.domains.iter().position(|domain| domain == client.trust_domain()));
        let account = Arc::new(Account::new(self.0.pools.clone(), self.0.rate, name.into(), domain));
        accounts.by_client.insert(account.name.clone(), account.clone());
        account
    }
}

impl Accounts {
    /// Removes the accounts that nobody uses and that owe nothing, whenever there are twice as many as the last sweep
    /// left.
    fn sweep(&mut self) {
        if self.by_client.len() >= self.sweep_at {
            self.by_client.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_settled());
            self.sweep_at = FIRST_SWEEP.max(2 * self.by_client.len());
        }
    }
}

impl Account {
    fn new(pools: Arc<Pools>, rate: Option<NonZeroU32>, name: Arc<str>, domain: Option<usize>) -> Self {
        Self {
            pools,
            name,
            domain,
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            inline: Credit::new(credit::OF_CLIENT),
            rate: Rate::new(rate),
            inflow: Inflow::new(rate),
            log: LogLines::default(),
            deciding: Semaphore::new(threads()),
            refusing: Semaphore::new(1),
        }
    }

    /// The client's name in queues: its trust domain and id.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Takes a place for a connection.
    pub fn connect(self: &Arc<Self>) -> Result<Place, Exceeded> {
        self.take(Kind::Connection, 1)
    }

    /// Takes a place for a request, and one of the requests of this second.
    pub fn admit(self: &Arc<Self>) -> Result<Admission, Exceeded> {
        let place = self.take(Kind::Request, 1)?;
        self.count(1)?;
        let held = Mutex::new(Held { place, wider: None });
        Ok(Admission(Arc::new(Admitted { account: self.clone(), held })))
    }

    /// Whether the client has fewer changes in progress than it may.
    pub fn may_change(&self) -> bool {
        self.changes.load(Relaxed) < self.pools.changes.of_client()
    }

    /// Takes a place for a change.
    pub fn change(self: &Arc<Self>) -> Result<Place, Exceeded> {
        self.take(Kind::Change, 1)
    }

    /// Takes a place for a refused request whose body is still read.
    pub fn linger(self: &Arc<Self>) -> Result<Place, Exceeded> {
        self.take(Kind::Refusal, 1)
    }

    /// Waits for a turn to decide, which lasts until the returned guard is dropped. If the client has more requests in
    /// progress than there are threads, the decision first yields to other clients' requests, and only as many such
    /// decisions of the client run at once as there are threads.
    pub async fn turn(&self) -> DecisionTurn<'_> {
        if self.requests.load(Relaxed) <= threads() {
            return DecisionTurn::default();
        }
        // The semaphore is never closed.
        let turn = self.deciding.acquire().await.ok();
        tokio::task::yield_now().await;
        DecisionTurn(turn)
    }

    /// Waits until the next request of the client may be refused: a thousand in a second are. A client can send a hundred
    /// at once on each connection, and again as soon as they are refused.
    pub async fn pace_refusal(&self) {
        // The semaphore is never closed.
        let _turn = self.refusing.acquire().await;
        sleep(REFUSAL).await;
    }

    /// Whether the client's next decision may run on a serving thread: neither its recent decisions nor those of all
    /// clients took too much time there.
    pub fn may_run_inline(&self) -> bool {
        self.inline.is_good() && self.pools.inline.is_good()
    }

    /// Records how long a decision took on a serving thread.
    pub fn ran_inline(&self, spent: Duration) {
        self.inline.charge(spent);
        self.pools.inline.charge(spent);
    }

    /// Counts `bytes` that are read next of what the client sends; how long to wait before.
    pub fn receives(&self, bytes: usize) -> Duration {
        self.inflow.count(bytes)
    }

    /// Takes back the count of `bytes` that did not come.
    pub fn gives_back(&self, bytes: usize) {
        self.inflow.take_back(bytes);
    }

    /// Whether another request of the client that is refused may write to the log: ten a second may.
    pub fn may_log(&self) -> bool {
        self.log.take()
    }

    /// Returns whether the client owes nothing, so that a new account would give it no more.
    fn is_settled(&self) -> bool {
        self.inline.is_clear() && self.inflow.is_even() && self.rate.empty_if_full()
    }

    fn count(&self, requests: usize) -> Result<(), Exceeded> {
        self.rate.take(u32::try_from(requests).unwrap_or(u32::MAX)).map_err(|wait| Exceeded::Rate { wait })
    }

    fn take(self: &Arc<Self>, kind: Kind, count: usize) -> Result<Place, Exceeded> {
        let (places, held) = (self.places(kind), self.held(kind));
        if !take(held, places.of_client(), count) {
            return Err(Exceeded::Client);
        }
        let Some(source) = places.take(self.domain, count, held.load(Relaxed)) else {
            let others = held.load(Relaxed).saturating_sub(count) < FEW;
            give_back(held, count);
            return Err(if others { Exceeded::All } else { Exceeded::Client });
        };
        Ok(Place { account: self.clone(), kind, count, source })
    }

    fn places(&self, kind: Kind) -> &Places {
        match kind {
            Kind::Connection => &self.pools.connections,
            Kind::Request => &self.pools.requests,
            Kind::Change => &self.pools.changes,
            Kind::Stream => &self.pools.streams,
            Kind::Refusal => &self.pools.refusals,
        }
    }

    fn held(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Connection => &self.connections,
            Kind::Request => &self.requests,
            Kind::Change => &self.changes,
            Kind::Stream => &self.streams,
            Kind::Refusal => &self.refusals,
        }
    }
}

/// How many threads serve requests: one per processor, from two to four, since each may run a policy, which needs
/// memory. To use more processors, run more gateways.
pub fn threads() -> usize {
    static THREADS: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(2, NonZero::get).clamp(2, 4));
    *THREADS
}

impl Drop for Place {
    fn drop(&mut self) {
        self.account.places(self.kind).give_back(self.source, self.count);
        give_back(self.account.held(self.kind), self.count);
    }
}

impl Admission {
    /// The client's account.
    pub fn account(&self) -> &Arc<Account> {
        &self.0.account
    }

    /// Takes `more` places for a request that costs as much as several, and counts it as so many. Further calls do
    /// nothing.
    pub fn widen(&self, more: usize) -> Result<(), Exceeded> {
        let mut held = self.held();
        if held.wider.is_none() {
            let place = self.account().take(Kind::Request, more)?;
            self.account().count(more)?;
            held.wider = Some(place);
        }
        Ok(())
    }

    /// Takes the place of a stream, and gives those of a request back.
    pub fn stream(&self) -> Result<(), Exceeded> {
        let place = self.account().take(Kind::Stream, 1)?;
        *self.held() = Held { place, wider: None };
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Clients with generous bounds, for the tests of other modules.

    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::num::NonZeroU32;

    use super::{Admission, Bound, Bounds, Clients};
    use crate::identity::ClientIdentity;

    pub(crate) fn clients() -> Clients {
        clients_with_rate(None)
    }

    /// Clients that may make so many requests in a second.
    pub(crate) fn clients_with_rate(rate: Option<NonZeroU32>) -> Clients {
        let bound = Bound { all: 10_000, of_client: 5_000 };
        Clients::new(
            &Bounds { connections: bound, requests: bound, changes: bound, streams: bound, refusals: bound, rate },
            ["example.org"],
        )
    }

    /// An admitted request of `client`.
    pub(crate) fn admission(client: &ClientIdentity) -> Admission {
        clients().account(Some(client)).admit().unwrap()
    }
}

#[cfg(test)]
mod tests;
