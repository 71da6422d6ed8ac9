//! Bounds the handshakes in flight, which unknown peers begin. At the bound, each new handshake ends the oldest one of
//! the address that has the most, so an address that opens many crowds out its own.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many handshakes may be in flight at once.
pub(super) const MAX_HANDSHAKES: usize = 1024;

/// All handshakes in flight. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Handshakes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// The handshakes of each address, the oldest first; no queue is empty.
    by_address: HashMap<IpAddr, VecDeque<Arc<Notify>>>,
}

/// A handshake, in flight until this is dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    all: Handshakes,
    origin: IpAddr,
    /// Notified when it must end to make room for another.
    crowded_out: Arc<Notify>,
}

impl Handshakes {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, state: Mutex::default() }))
    }

    /// Begins a handshake with a client at `address`.
    pub(super) fn begin(&self, address: IpAddr) -> Handshake {
        let (origin, crowded_out) = (origin(address), Arc::new(Notify::new()));
        let mut state = self.state();
        if state.count >= self.0.limit {
            state.crowd_out();
        }
        state.count += 1;
        state.by_address.entry(origin).or_default().push_back(crowded_out.clone());
        Handshake { all: self.clone(), origin, crowded_out }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held left the queues consistent.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends the oldest handshake of the address that has the most.
    fn crowd_out(&mut self) {
        let most = self.by_address.iter().max_by_key(|(_, queue)| queue.len()).map(|(origin, _)| *origin);
        let Some(origin) = most else { return };
        let oldest = self.by_address.get(&origin).and_then(|queue| queue.front()).cloned();
        if let Some(oldest) = oldest {
            self.remove(origin, &oldest);
            oldest.notify_one();
        }
    }

    /// Removes a handshake, unless it was crowded out before.
    fn remove(&mut self, origin: IpAddr, handshake: &Arc<Notify>) {
        let Some(queue) = self.by_address.get_mut(&origin) else { return };
        let Some(at) = queue.iter().position(|other| Arc::ptr_eq(other, handshake)) else { return };
        queue.remove(at);
        self.count -= 1;
        if queue.is_empty() {
            self.by_address.remove(&origin);
        }
    }
}

impl Handshake {
    /// Waits until it must end to make room for another.
    pub(super) async fn crowded_out(&self) {
        self.crowded_out.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.state().remove(self.origin, &self.crowded_out);
    }
}

/// What counts as one address: for IPv6 the /64 network, since one host may use all of it.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        canonical @ IpAddr::V4(_) => canonical,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures::FutureExt;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_crowded_out(handshake: &Handshake) -> bool {
        handshake.crowded_out().now_or_never().is_some()
    }

    #[test]
    fn an_address_that_opens_many_crowds_out_its_own() {
        let all = Handshakes::new(10);
        let other = all.begin(address("192.0.2.1"));
        let mut many: VecDeque<_> = (0..9).map(|_| all.begin(address("192.0.2.9"))).collect();
        for _ in 0..30 {
            many.push_back(all.begin(address("192.0.2.9")));
            assert!(is_crowded_out(&many.pop_front().unwrap()), "the oldest stays");
        }
        let late = all.begin(address("192.0.2.2"));
        assert!(is_crowded_out(&many[0]) && !is_crowded_out(&other) && !is_crowded_out(&late));
        drop((other, late, many));
        let state = all.state();
        assert_eq!((state.count, state.by_address.len()), (0, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_together() {
        assert_eq!(origin(address("2001:db8::1")), origin(address("2001:db8::2:3")));
        assert_ne!(origin(address("2001:db8::1")), origin(address("2001:db8:0:1::1")));
        assert_eq!(origin(address("::ffff:192.0.2.1")), address("192.0.2.1"));
        let all = Handshakes::new(3);
        let [first, _second] = ["2001:db8::1", "2001:db8::2"].map(|of_network| all.begin(address(of_network)));
        let other = all.begin(address("2001:db8:0:1::1"));
        let _third = all.begin(address("2001:db8::3"));
        assert!(is_crowded_out(&first) && !is_crowded_out(&other));
    }

    #[test]
    fn what_ends_by_itself_leaves_room() {
        let all = Handshakes::new(2);
        let first = all.begin(address("192.0.2.1"));
        drop(all.begin(address("192.0.2.1")));
        let third = all.begin(address("192.0.2.1"));
        assert!(!is_crowded_out(&first) && !is_crowded_out(&third));
    }
}
