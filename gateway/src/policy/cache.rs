//! Answers to reads, reused while nothing that they were made from has changed.
//!
//! A verdict that never asked for the time is a function of the policies and of the document, and the document is a
//! function of the objects that it was made from. Objects are compared by address, so nothing is hashed or copied. An
//! entry holds weak references: they keep an address from being reused, and let the object's content be freed. Only the
//! client is compared by value, since each connection has a copy.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::mem::{replace, take};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::document::{Client, Input};
use super::facts::Facts;
use super::verdict::{Answer, Conclusion, Outcome};
use crate::audit::ModuleRecord;
use crate::replicas::Observation;

/// What an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 4 << 10;
/// What a text takes in a map beside its bytes.
const OF_TEXT: usize = 64;
/// How long an answer is reused. After that, the input that its records name is written again.
const LONGEST: Duration = Duration::from_mins(5);

/// The answers of one set of policies, in two generations. When the young one has half of all bytes, or is
/// [`LONGEST`] old, it becomes the old one, and the old one is dropped. An entry that is used becomes young again.
#[derive(Debug)]
pub(super) struct AnswerCache {
    hasher: RandomState,
    /// The most bytes that each generation may have; 0 keeps nothing.
    room: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    /// When its first entry was added.
    began: Option<Instant>,
    entries: HashMap<u64, Entry>,
    bytes: usize,
    /// How many bytes each client's entries have.
    of_client: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Entry {
    client: Arc<Client>,
    account: Arc<str>,
    facts: Facts,
    answer: Arc<Answer>,
    made: Instant,
    bytes: usize,
}

impl Entry {
    /// Returns whether its answer is one for `client` about `observation`.
    fn answers(&self, client: &Arc<Client>, observation: &Observation) -> bool {
        (Arc::ptr_eq(&self.client, client) || self.client == *client)
            && self.facts.are_those_of(observation)
            && self.made.elapsed() < LONGEST
    }
}

/// The memory that an answer takes, with the labels and annotations that it shares with the cache of objects. Its records
/// repeat the question, the reasons and the tags.
fn bytes(answer: &Answer) -> usize {
    let of_map = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| key.len() + value.len() + OF_TEXT).sum::<usize>()
    };
    let of_texts = |texts: &[String]| texts.iter().map(|text| text.len() + OF_TEXT).sum::<usize>();
    let Input { target, .. } = &answer.question.input;
    let maps = [Some(&*target.labels), Some(&*target.annotations), target.namespace_labels.as_deref()];
    let Conclusion { outcome, verdicts, .. } = &answer.conclusion;
    let outcome = match outcome {
        Outcome::Allowed(tags) => of_map(tags),
        Outcome::Refused(texts) => of_texts(texts),
        Outcome::Busy(text) | Outcome::Unavailable(text) => text.len(),
    };
    let of_module = |it: &ModuleRecord| it.module.len() + of_texts(&it.reasons) + of_map(&it.tags) + 2 * OF_TEXT;
    let repeated = answer.question.json.len() + outcome + verdicts.iter().map(of_module).sum::<usize>();
    OVERHEAD + 2 * repeated + maps.into_iter().flatten().map(of_map).sum::<usize>()
}

impl AnswerCache {
    /// Keeps answers of at most `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self { hasher: RandomState::new(), room: bytes / 2, inner: Mutex::default() }
    }

    /// The answer to whether `client` may see what is in `observation`.
    pub(super) fn find(&self, client: &Arc<Client>, observation: &Observation) -> Option<Arc<Answer>> {
        if self.room == 0 {
            return None;
        }
        let key = self.key(client, observation);
        let mut inner = self.lock();
        if let Some(entry) = inner.young.entries.get(&key) {
            return entry.answers(client, observation).then(|| entry.answer.clone());
        }
        let entry = inner.old.remove(key)?;
        let answer = entry.answers(client, observation).then(|| entry.answer.clone())?;
        let displaced = inner.add(key, entry, self.room);
        // Freeing thousands of entries takes a while: not under the lock.
        drop((inner, displaced));
        Some(answer)
    }

    /// Keeps an answer, unless it asked for the time or is an error, or its client has its share already.
    pub(super) fn keep(
        &self,
        client: &Arc<Client>,
        account: &Arc<str>,
        observation: &Observation,
        answer: &Arc<Answer>,
    ) {
        if self.room == 0 || !answer.is_lasting() {
            return;
        }
        let entry = Entry {
            client: client.clone(),
            account: account.clone(),
            facts: Facts::of(observation),
            answer: answer.clone(),
            made: Instant::now(),
            bytes: bytes(answer),
        };
        let key = self.key(client, observation);
        let mut inner = self.lock();
        let displaced = inner.add(key, entry, self.room);
        drop((inner, displaced));
    }

    /// The key of a question. Two questions with the same key displace each other.
    fn key(&self, client: &Client, observation: &Observation) -> u64 {
        let name = &observation.name;
        let workload = (name.kind.as_str(), &name.namespace, &name.name);
        self.hasher.hash_one((&client.trust_domain, &client.id, &client.serial, workload))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held loses entries at most.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Adds an entry. Returns the generation that was dropped for it.
    fn add(&mut self, key: u64, entry: Entry, room: usize) -> Generation {
        self.young.remove(key);
        self.old.remove(key);
        let mut displaced = Generation::default();
        let is_aged = self.young.began.is_some_and(|began| began.elapsed() > LONGEST);
        if is_aged || self.young.bytes + entry.bytes > room {
            displaced = replace(&mut self.old, take(&mut self.young));
        }
        self.young.add(key, entry, room / 4);
        displaced
    }
}

impl Generation {
    /// Adds an entry, unless its client would have more than `share` bytes.
    fn add(&mut self, key: u64, entry: Entry, share: usize) {
        let of_client = self.of_client.get(&entry.account).copied().unwrap_or_default() + entry.bytes;
        if of_client > share {
            return;
        }
        self.of_client.insert(entry.account.clone(), of_client);
        self.bytes += entry.bytes;
        self.began.get_or_insert_with(Instant::now);
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
