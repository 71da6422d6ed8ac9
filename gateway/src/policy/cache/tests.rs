//! What is kept, and what is never given again.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::policy::action::Get;
use crate::policy::input;
use crate::policy::testing::{client, labelled};
use crate::policy::verdict::{Conclusion, Outcome, Question};
use crate::replicas::fixtures::{Object, deployment, target};
use crate::replicas::{Autoscaler, Replicas, Rollout, Workload};
use crate::workload::WorkloadRef;

/// The memory of the default settings.
const BYTES: usize = 32 << 20;

fn web() -> WorkloadRef {
    WorkloadRef::deployment("demo", "web")
}

fn question(client: &Arc<Client>, observation: &Observation) -> Question {
    let action = Get { target: observation.name.clone() };
    Question::new(input::document(client, &action, observation)).unwrap()
}

fn answer(client: &Arc<Client>, observation: &Observation, outcome: Outcome, asked_time: bool) -> Arc<Answer> {
    Answer::new(question(client, observation), Conclusion { outcome, verdicts: Vec::new(), asked_time })
}

/// A cache, and what is asked of it.
struct Asking {
    cache: AnswerCache,
    replicas: Replicas,
}

impl Asking {
    fn new(objects: impl IntoIterator<Item = Object>) -> Self {
        Self { cache: AnswerCache::new(BYTES), replicas: Replicas::from_objects(objects) }
    }

    fn find(&self, client: &Arc<Client>, name: &WorkloadRef) -> Option<Arc<Answer>> {
        self.cache.find(client, &self.replicas.observe(name))
    }

    fn keep(&self, client: &Arc<Client>, name: &WorkloadRef) {
        self.keep_that(client, name, Outcome::Allowed(BTreeMap::new()), false);
    }

    fn keep_that(&self, client: &Arc<Client>, name: &WorkloadRef, outcome: Outcome, asked_time: bool) {
        let observation = self.replicas.observe(name);
        let answer = answer(client, &observation, outcome, asked_time);
        self.cache.keep(client, &client.id.as_str().into(), &observation, &answer);
    }
}

fn autoscaler(name: &str, min: i32, max: i32) -> Object {
    Object::Autoscaler { of: web(), autoscaler: Autoscaler::new(name, min, max) }
}

fn workload() -> Workload {
    let labels = Arc::new(labelled(&[("app", "web")]));
    let annotations = Arc::new(labelled(&[("scalegate.dev/max-replicas", "20")]));
    Workload { labels, annotations, ..deployment("demo", "web", 3) }
}

fn namespace(tier: &str) -> Object {
    Object::Namespace { name: "demo".into(), labels: labelled(&[("tier", tier)]) }
}

fn wanted(change: impl FnOnce(&mut crate::resource::ReplicaTargetSpec)) -> Object {
    let mut target = target("demo", "web", 3);
    target.spec.requested_by = Some("uri:spiffe://scalegate.test/ci".into());
    target.spec.reason = Some("launch".into());
    change(&mut target.spec);
    Object::Target(Box::new(target))
}

/// The values of a document by their paths.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| leaves(&format!("{path}.{key}"), field, found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| leaves(&format!("{path}[{index}]"), item, found));
        }
        _ => drop(found.insert(path.to_owned(), value.clone())),
    }
}

#[test]
fn no_answer_is_given_again_after_any_value_of_its_document_has_changed() {
    let asking = Asking::new([Object::Deployment(workload()), wanted(|_| {}), autoscaler("hpa", 1, 5), namespace("a")]);
    let document = |client: &Arc<Client>| {
        let mut found = BTreeMap::new();
        let json = question(client, &asking.replicas.observe(&web())).json;
        leaves("", &serde_json::from_str(&json).unwrap(), &mut found);
        found
    };
    let someone = Arc::new(client());
    let mut left: BTreeSet<String> = document(&someone).into_keys().collect();
    let mut changed = |before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>| {
        assert_ne!(before, after);
        left.retain(|path| before.get(path) == after.get(path));
    };

    let of_workload: [fn(&mut Workload); 7] = [
        |it| it.labels = Arc::new(labelled(&[("app", "other")])),
        |it| it.annotations = Arc::default(),
        |it| it.replicas = 4,
        |it| it.ready = 4,
        |it| it.available = 4,
        |it| it.updated = 4,
        |it| it.rollout = Rollout::Paused,
    ];
    let mut objects = of_workload
        .map(|change| {
            let mut workload = workload();
            change(&mut workload);
            Object::Deployment(workload)
        })
        .into_iter()
        .collect::<Vec<_>>();
    objects.extend([
        wanted(|spec| spec.replicas = 9),
        wanted(|spec| spec.requested_by = None),
        wanted(|spec| spec.reason = None),
        autoscaler("hpa", 2, 5),
        autoscaler("hpa", 1, 6),
        autoscaler("another", 1, 5),
        namespace("b"),
    ]);
    for object in objects {
        asking.keep(&someone, &web());
        assert!(asking.find(&someone, &web()).is_some());
        let before = document(&someone);
        asking.replicas.put(object);
        changed(&before, &document(&someone));
        assert!(asking.find(&someone, &web()).is_none(), "{:?}", document(&someone));
    }

    asking.keep(&someone, &web());
    let of_client: [fn(&mut Client); 5] = [
        |it| it.id.push('x'),
        |it| it.trust_domain.push('x'),
        |it| it.groups = vec!["others".into()],
        |it| it.serial.push('x'),
        |it| it.not_after = Timestamp::MAX,
    ];
    for change in of_client {
        let mut other = client();
        change(&mut other);
        let other = Arc::new(other);
        changed(&document(&someone), &document(&other));
        assert!(asking.find(&other, &web()).is_none(), "{other:?}");
    }
    assert!(asking.find(&Arc::new(client()), &web()).is_some(), "another connection of the same client");

    // What names the question is compared by value, and the rest does not change.
    left.remove(".apiVersion");
    left.remove(".action");
    left.remove(".request");
    left.remove(".current.owners[0].kind");
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [".target.kind", ".target.name", ".target.namespace"]);
    assert!(asking.find(&someone, &WorkloadRef::deployment("demo", "api")).is_none());
}

#[test]
fn an_object_that_comes_or_goes_is_a_change() {
    let someone = Arc::new(client());
    let asking = Asking::new([]);
    let steps: [fn(&Replicas); 5] = [
        |replicas| replicas.put(Object::Deployment(workload())),
        |replicas| replicas.put(wanted(|_| {})),
        |replicas| replicas.put(autoscaler("hpa", 1, 5)),
        |replicas| replicas.delete_target(&web()),
        |replicas| replicas.delete_deployment(&web()),
    ];
    for step in steps {
        asking.keep(&someone, &web());
        assert!(asking.find(&someone, &web()).is_some());
        step(&asking.replicas);
        assert!(asking.find(&someone, &web()).is_none());
    }
}

#[test]
fn errors_and_answers_that_asked_for_the_time_are_not_kept() {
    let someone = Arc::new(client());
    let asking = Asking::new([Object::Deployment(workload())]);
    for (outcome, asked_time, kept) in [
        (Outcome::Unavailable("it trapped".into()), false, false),
        (Outcome::Busy("busy".into()), false, false),
        (Outcome::Allowed(BTreeMap::new()), true, false),
        (Outcome::Refused(vec!["not now".into()]), true, false),
        (Outcome::Refused(vec!["never".into()]), false, true),
    ] {
        asking.keep_that(&someone, &web(), outcome, asked_time);
        assert_eq!(asking.find(&someone, &web()).is_some(), kept);
    }
}

#[test]
fn an_entry_keeps_none_of_the_objects_alive() {
    let someone = Arc::new(client());
    let asking = Asking::new([Object::Deployment(workload())]);
    let object = Arc::downgrade(&asking.replicas.observe(&web()).workload.unwrap());
    asking.keep(&someone, &web());
    asking.replicas.delete_deployment(&web());
    assert!(object.upgrade().is_none(), "only its place is kept");
    asking.replicas.put(Object::Deployment(workload()));
    assert!(asking.find(&someone, &web()).is_none(), "an equal one is another one");
}

#[test]
fn long_texts_of_modules_count() {
    let someone = Arc::new(client());
    let asking = Asking::new([Object::Deployment(workload())]);
    let observation = asking.replicas.observe(&web());
    let of = |reasons: Vec<String>| bytes(&answer(&someone, &observation, Outcome::Refused(reasons), false));
    assert!(of(vec!["x".repeat(5_000)]) > of(Vec::new()) + 5_000);
}

#[test]
fn the_room_is_bounded_and_a_client_has_its_part_of_it() {
    let names: Vec<_> = (0..2_000).map(|number| WorkloadRef::deployment("demo", format!("web-{number}"))).collect();
    let asking = Asking::new(
        names.iter().map(|name| Object::Deployment(Workload { name: name.clone(), ..deployment("demo", "web", 1) })),
    );
    let clients: Vec<_> = (0..12)
        .map(|number| Arc::new(Client { id: format!("uri:spiffe://scalegate.test/{number}"), ..client() }))
        .collect();
    let sum = |generation: &Generation| generation.entries.values().map(|entry| entry.bytes).sum::<usize>();
    for someone in &clients {
        for name in &names {
            asking.keep(someone, name);
        }
        let inner = asking.cache.lock();
        for generation in [&inner.young, &inner.old] {
            assert_eq!(generation.bytes, sum(generation));
            assert_eq!(generation.of_client.values().sum::<usize>(), generation.bytes);
            assert!(generation.bytes <= BYTES / 2, "{} bytes", generation.bytes);
            assert!(generation.of_client.values().all(|of_client| *of_client <= BYTES / 2 / 4));
        }
    }
    // The first client's answers were not used since: the others have filled all of the room.
    assert!(asking.find(&clients[0], &names[0]).is_none());
    assert!(asking.find(&clients[11], &names[0]).is_some());
}

#[test]
fn a_cache_without_room_keeps_nothing() {
    let client = Arc::new(client());
    let asking = Asking { cache: AnswerCache::new(0), ..Asking::new([Object::Deployment(workload())]) };
    asking.keep(&client, &web());
    assert!(asking.find(&client, &web()).is_none());
}
