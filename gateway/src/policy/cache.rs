//! Answers to reads, for as long as nothing that they were made of has changed.
//!
//! A verdict that never asked for the time is a function of the policies and of the document, and the document is a
//! function of the objects that it was made of. These are compared by identity: nothing is hashed or copied, and an
//! entry keeps its objects alive, so that no other can come to lie where they lay. The client alone is compared by
//! value, since each connection has one of its own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::document::Client;
use super::set::PolicySet;
use super::verdict::Answer;
use crate::replicas::Observation;

/// The bytes of all entries.
const BYTES: usize = 32 << 20;
/// What an entry takes beside its texts, and what its objects take that are no longer anybody else's, in bytes.
const OVERHEAD: usize = 2 << 10;
/// How long an answer may be given again. After that the input of its record is written again.
const LONGEST: Duration = Duration::from_mins(5);

/// The answers. Those that were not used since half of the room was filled make room.
#[derive(Debug, Default)]
pub(super) struct AnswerCache {
    hasher: RandomState,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By which the answers were given.
    set: Option<Arc<PolicySet>>,
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<u64, Entry>,
    bytes: usize,
    /// How many bytes each client's entries have.
    of_client: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Entry {
    client: Arc<Client>,
    account: Arc<str>,
    observation: Observation,
    answer: Arc<Answer>,
    made: Instant,
    bytes: usize,
}

impl Entry {
    /// Returns whether its answer is one for `client` about `observation`.
    fn answers(&self, client: &Arc<Client>, observation: &Observation) -> bool {
        (Arc::ptr_eq(&self.client, client) || self.client == *client)
            && self.observation.is_of_same_objects(observation)
            && self.made.elapsed() < LONGEST
    }
}

impl AnswerCache {
    /// The answer of `set` to whether `client` may see what is in `observation`.
    pub(super) fn find(
        &self,
        set: &Arc<PolicySet>,
        client: &Arc<Client>,
        observation: &Observation,
    ) -> Option<Arc<Answer>> {
        let key = self.key(client, observation);
        let mut inner = self.lock();
        if !inner.set.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, set)) {
            *inner = Inner { set: Some(set.clone()), ..Inner::default() };
            return None;
        }
        if let Some(entry) = inner.young.entries.get(&key) {
            return entry.answers(client, observation).then(|| entry.answer.clone());
        }
        let entry = inner.old.remove(key)?;
        let answer = entry.answers(client, observation).then(|| entry.answer.clone())?;
        inner.add(key, entry);
        Some(answer)
    }

    /// Keeps an answer of `set`, unless it asked for the time or is an error, or its client has its share already.
    pub(super) fn keep(
        &self,
        set: &Arc<PolicySet>,
        client: &Arc<Client>,
        account: &Arc<str>,
        observation: &Observation,
        answer: &Arc<Answer>,
    ) {
        if !answer.is_lasting() {
            return;
        }
        let entry = Entry {
            client: client.clone(),
            account: account.clone(),
            observation: observation.clone(),
            answer: answer.clone(),
            made: Instant::now(),
            bytes: OVERHEAD + 2 * answer.question.json.len(),
        };
        let key = self.key(client, observation);
        let mut inner = self.lock();
        if inner.set.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, set)) {
            inner.add(key, entry);
        }
    }

    /// Names what is asked. Two questions of one key displace each other.
    fn key(&self, client: &Client, observation: &Observation) -> u64 {
        let name = &observation.name;
        let workload = (name.kind.as_str(), &name.namespace, &name.name);
        self.hasher.hash_one((&client.trust_domain, &client.id, &client.serial, workload))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held loses entries at most.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        let inner = self.lock();
        inner.young.entries.len() + inner.old.entries.len()
    }
}

impl Inner {
    fn add(&mut self, key: u64, entry: Entry) {
        self.young.remove(key);
        self.old.remove(key);
        if self.young.bytes + entry.bytes > BYTES / 2 {
            self.old = take(&mut self.young);
        }
        self.young.add(key, entry);
    }
}

impl Generation {
    /// Adds an entry, unless its client would have more than a quarter of the room.
    fn add(&mut self, key: u64, entry: Entry) {
        let of_client = self.of_client.entry(entry.account.clone()).or_default();
        if *of_client + entry.bytes > BYTES / 2 / 4 {
            return;
        }
        *of_client += entry.bytes;
        self.bytes += entry.bytes;
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: u64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.bytes -= entry.bytes;
        if let Some(of_client) = self.of_client.get_mut(&entry.account) {
            *of_client -= entry.bytes;
            if *of_client == 0 {
                self.of_client.remove(&entry.account);
            }
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
