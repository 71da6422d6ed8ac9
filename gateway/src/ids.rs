//! Names for requests and decisions.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use uuid::{Builder, Uuid};

thread_local! {
    /// Seeded by the operating system.
    static GENERATOR: RefCell<Rng> = RefCell::new(Rng::with_seed(RandomState::new().hash_one(())));
}

/// A new UUID of version 7 (RFC 9562, section 5.7). Its random part keeps names apart; it can be guessed, so a name is
/// no secret.
pub fn new() -> Uuid {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let random = GENERATOR.with_borrow_mut(|generator| generator.u128(..)).to_ne_bytes();
    let [bytes @ .., _, _, _, _, _, _] = random;
    Builder::from_unix_timestamp_millis(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX), &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;

    use super::*;

    #[test]
    fn names_of_all_threads_differ_and_tell_their_time() {
        let made = || (0..1000).map(|_| new()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| thread::spawn(made)).collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4000);
        for id in ids {
            let made = id.get_timestamp().map(|at| at.to_unix().0);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|now| now.as_secs());
            assert!(made.zip(now.ok()).is_some_and(|(made, now)| now.abs_diff(made) < 60), "{id}");
            assert_eq!(id.get_version_num(), 7);
        }
    }
}
