//! Places of one kind, half of which are reserved for the trust domains in equal parts.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Bound;

/// How many places a client may have regardless of how few are free.
pub(super) const FEW: usize = 4;

/// All places of one kind.
#[derive(Debug)]
pub(super) struct Places {
    of_client: usize,
    /// Places that clients of any trust domain may take.
    shared: Pool,
    /// Places that only the clients of one trust domain may take, for each trust domain.
    kept: Vec<Pool>,
}

#[derive(Debug)]
struct Pool {
    size: usize,
    taken: AtomicUsize,
}

/// Where places were taken from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Shared,
    /// The places of the trust domain with this index.
    Kept(usize),
}

impl Places {
    pub(super) fn new(bound: Bound, domains: usize) -> Self {
        let each = bound.all / 2 / domains.max(1);
        let kept: Vec<_> = (0..domains).map(|_| Pool::new(each)).collect();
        Self { of_client: bound.of_client, shared: Pool::new(bound.all - each * kept.len()), kept }
    }

    pub(super) fn of_client(&self) -> usize {
        self.of_client
    }

    /// Takes `count` places for a client of `domain`, all from one pool; `held` is how many the client has with them.
    /// `None` if no pool has enough, or if the client would have more than [`FEW`] and more than a quarter of those
    /// that are free: so only many greedy clients together can leave none for a client that comes later.
    pub(super) fn take(&self, domain: Option<usize>, count: usize, held: usize) -> Option<Source> {
        let sources = [domain.map(Source::Kept), Some(Source::Shared)];
        sources.into_iter().flatten().find(|source| {
            self.pool(*source).is_some_and(|pool| {
                let free = pool.size.saturating_sub(pool.taken.load(Relaxed));
                held <= FEW.max(free / 4) && take(&pool.taken, pool.size, count)
            })
        })
    }

    pub(super) fn give_back(&self, source: Source, count: usize) {
        if let Some(pool) = self.pool(source) {
            give_back(&pool.taken, count);
        }
    }

    fn pool(&self, source: Source) -> Option<&Pool> {
        match source {
            Source::Shared => Some(&self.shared),
            Source::Kept(domain) => self.kept.get(domain),
        }
    }
}

impl Pool {
    fn new(size: usize) -> Self {
        Self { size, taken: AtomicUsize::new(0) }
    }
}

/// Takes `count` of `size`. Returns whether as many were left.
pub(super) fn take(taken: &AtomicUsize, size: usize, count: usize) -> bool {
    taken.fetch_update(Relaxed, Relaxed, |taken| taken.checked_add(count).filter(|sum| *sum <= size)).is_ok()
}

pub(super) fn give_back(taken: &AtomicUsize, count: usize) {
    taken.fetch_sub(count, Relaxed);
}
