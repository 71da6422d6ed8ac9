#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::kubernetes::testing::store::{FakeApi, Fault};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/scalegate";

/// A candidate that runs.
struct Candidate {
    leadership: watch::Receiver<Leadership>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Candidate {
    fn start(identity: &str, client: kube::Client) -> Self {
        Self::beside(&Replicas::from_objects([]), identity, client)
    }

    /// One that tells `replicas` whether the API server's storage answers.
    fn beside(replicas: &Replicas, identity: &str, client: kube::Client) -> Self {
        let settings = LeaseSettings { identity: identity.to_owned(), ..LeaseSettings::new("system", "scalegate", "") };
        let (sender, leadership) = watch::channel(Leadership::Follower { holder: None });
        let (stop, stopped) = oneshot::channel::<()>();
        let elector = Elector::new(client, settings, sender, replicas.clone());
        let task = tokio::spawn(elector.run(async move {
            let _ = stopped.await;
        }));
        Self { leadership, stop: Some(stop), task }
    }

    fn leads(&self) -> bool {
        self.leadership.borrow().is_leader()
    }

    async fn until_leader(&mut self) -> i32 {
        match *self.leadership.wait_for(Leadership::is_leader).await.unwrap() {
            Leadership::Leader { epoch } => epoch,
            Leadership::Follower { .. } => unreachable!("waited for a leader"),
        }
    }

    async fn until_follower(&mut self) {
        self.leadership.wait_for(|now| !now.is_leader()).await.unwrap();
    }

    async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// Requests meet `fault` while the switch is on.
fn switched(switch: &Arc<AtomicBool>, fault: Fault) -> impl Fn(&Method, &str) -> Option<Fault> + Clone + use<> {
    let switch = switch.clone();
    move |_, _| switch.load(Ordering::SeqCst).then_some(fault)
}

async fn after(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_candidates_one_leads_and_the_other_knows_whom_it_follows() {
    let api = FakeApi::default();
    let (mut a, mut b) = (Candidate::start("a", api.client()), Candidate::start("b", api.client()));
    after(60).await;
    assert!(a.leads() != b.leads());
    let (leader, follower) = if a.leads() { ("a", &mut b) } else { ("b", &mut a) };
    assert_eq!(*follower.leadership.borrow(), Leadership::Follower { holder: Some(leader.to_owned()) });
    assert_eq!(api.object(PATH).unwrap()["spec"]["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn candidates_that_read_the_same_free_lease_do_not_both_take_it() {
    let api = FakeApi::default();
    let free =
        Lease { metadata: ObjectMeta { name: Some("scalegate".to_owned()), ..ObjectMeta::default() }, spec: None };
    api.store(PATH, &free);
    let (sender, _leadership) = watch::channel(Leadership::Follower { holder: None });
    let electors = ["a", "b"].map(|identity| {
        let settings = LeaseSettings { identity: identity.to_owned(), ..LeaseSettings::new("system", "scalegate", "") };
        Elector::new(api.client(), settings, sender.clone(), Replicas::from_objects([]))
    });
    let read = electors[0].get().await.unwrap().unwrap();
    let first = electors[0].replace(electors[0].taken(read.clone())).await.unwrap();
    let second = electors[1].replace(electors[1].taken(read)).await.unwrap();
    assert!(first.is_some());
    assert!(second.is_none());
    assert_eq!(api.writes().last().unwrap().code, 409);
    assert_eq!(api.object(PATH).unwrap()["spec"]["holderIdentity"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_another_starts() {
    for fault in [Fault::Hang, Fault::Answer(500), Fault::LoseAnswer] {
        let (api, cut_off) = (FakeApi::default(), Arc::new(AtomicBool::new(false)));
        let mut a = Candidate::start("a", api.client_with(switched(&cut_off, fault)));
        assert_eq!(a.until_leader().await, 0);
        let mut b = Candidate::start("b", api.client());
        after(30).await;
        assert!(a.leads());
        cut_off.store(true, Ordering::SeqCst);
        let cut_off_at = Instant::now();

        a.until_follower().await;
        assert!(cut_off_at.elapsed() <= Duration::from_secs(10), "{fault:?}");
        assert!(!b.leads(), "{fault:?}");
        let transitions = b.until_leader().await;
        assert_eq!(transitions, 1, "{fault:?}");
        assert!(!a.leads(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_outlives_a_short_outage() {
    let (api, cut_off) = (FakeApi::default(), Arc::new(AtomicBool::new(false)));
    let mut a = Candidate::start("a", api.client_with(switched(&cut_off, Fault::Answer(503))));
    a.until_leader().await;
    let mut changes = a.leadership.clone();
    changes.mark_unchanged();
    cut_off.store(true, Ordering::SeqCst);
    after(7).await;
    cut_off.store(false, Ordering::SeqCst);
    after(60).await;
    assert!(a.leads());
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_the_watches_show_grows_old_while_no_call_about_the_lease_is_answered() {
    for fault in [Fault::Hang, Fault::Answer(500)] {
        let (api, away) = (FakeApi::default(), Arc::new(AtomicBool::new(false)));
        let [beside_leader, beside_follower] = [0, 1].map(|_| Replicas::from_objects([]));
        let mut a = Candidate::beside(&beside_leader, "a", api.client_with(switched(&away, fault)));
        a.until_leader().await;
        let _b = Candidate::beside(&beside_follower, "b", api.client_with(switched(&away, fault)));
        after(60).await;
        let ages = || [&beside_leader, &beside_follower].map(|replicas| replicas.age(None));
        assert_eq!(ages(), [Duration::ZERO; 2], "{fault:?}");

        away.store(true, Ordering::SeqCst);
        after(7).await;
        assert_eq!(ages(), [Duration::ZERO; 2], "{fault:?}: too short to mean anything");
        after(33).await;
        let since_the_last_answer = Duration::from_secs(40)..=Duration::from_secs(43);
        assert!(ages().iter().all(|age| since_the_last_answer.contains(age)), "{fault:?}: {:?}", ages());

        away.store(false, Ordering::SeqCst);
        after(10).await;
        assert_eq!(ages(), [Duration::ZERO; 2], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_role_for_leases_says_nothing_of_the_age_of_what_the_watches_show() {
    let (api, always) = (FakeApi::default(), Arc::new(AtomicBool::new(true)));
    let replicas = Replicas::from_objects([]);
    let a = Candidate::beside(&replicas, "a", api.client_with(switched(&always, Fault::Answer(403))));
    after(60).await;
    assert_eq!((a.leads(), replicas.age(None)), (false, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_recognised_as_our_own() {
    let (api, lossy) = (FakeApi::default(), Arc::new(AtomicBool::new(false)));
    let switch = lossy.clone();
    let once = move |method: &Method, _: &str| {
        (*method == Method::PUT && switch.swap(false, Ordering::SeqCst)).then_some(Fault::LoseAnswer)
    };
    let mut a = Candidate::start("a", api.client_with(once));
    a.until_leader().await;
    let mut changes = a.leadership.clone();
    changes.mark_unchanged();
    lossy.store(true, Ordering::SeqCst);
    after(60).await;
    assert!(!lossy.load(Ordering::SeqCst), "the fault was met");
    assert!(a.leads());
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_leader_steps_down_at_once_when_another_took_the_lease() {
    let api = FakeApi::default();
    let mut a = Candidate::start("a", api.client());
    a.until_leader().await;
    let mut lease: Lease = serde_json::from_value(api.object(PATH).unwrap()).unwrap();
    lease.spec.as_mut().unwrap().holder_identity = Some("usurper".to_owned());
    api.store(PATH, &lease);
    let taken_at = Instant::now();
    a.until_follower().await;
    assert!(taken_at.elapsed() <= Duration::from_secs(3), "not only at the deadline");
    let holder = |now: &Leadership| *now == Leadership::Follower { holder: Some("usurper".to_owned()) };
    a.leadership.wait_for(holder).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_waited_for_from_when_it_was_first_seen_whatever_its_clock_said() {
    let api = FakeApi::default();
    let spec = LeaseSpec {
        holder_identity: Some("dead".to_owned()),
        lease_duration_seconds: Some(40),
        lease_transitions: Some(6),
        renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
        ..LeaseSpec::default()
    };
    api.store(PATH, &Lease { spec: Some(spec), ..Lease::default() });
    let mut a = Candidate::start("a", api.client());
    after(39).await;
    assert!(!a.leads(), "the holder may be slower than this candidate is configured to be");
    assert_eq!(a.until_leader().await, 7);
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_the_next_attempt() {
    let api = FakeApi::default();
    let mut a = Candidate::start("a", api.client());
    a.until_leader().await;
    let mut b = Candidate::start("b", api.client());
    after(10).await;
    a.stop().await;
    assert_eq!(api.object(PATH).unwrap()["spec"]["holderIdentity"], "");
    let released_at = Instant::now();
    assert_eq!(b.until_leader().await, 1);
    assert!(released_at.elapsed() <= Duration::from_secs(2), "it does not wait for the lease to expire");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_stops_leaves_the_lease_alone() {
    let api = FakeApi::default();
    let mut a = Candidate::start("a", api.client());
    a.until_leader().await;
    let b = Candidate::start("b", api.client());
    after(10).await;
    b.stop().await;
    assert_eq!(api.object(PATH).unwrap()["spec"]["holderIdentity"], "a");
    assert!(a.leads());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_anew() {
    let api = FakeApi::default();
    let mut a = Candidate::start("a", api.client());
    a.until_leader().await;
    api.delete(PATH);
    after(5).await;
    assert!(a.leads());
    assert_eq!(api.object(PATH).unwrap()["spec"]["holderIdentity"], "a");
    let writes: Vec<_> = api.writes().into_iter().map(|write| (write.method, write.code)).collect();
    let remade = [(Method::POST, 200), (Method::PUT, 404), (Method::POST, 200)];
    assert_eq!(writes[..3], remade);
}

#[test]
fn durations_that_would_let_two_lead_are_refused() {
    let defaults = LeaseSettings::new("system", "scalegate", "pod");
    assert!(defaults.validate().is_ok());
    let seconds = Duration::from_secs;
    for (lease, renew, retry) in [(10, 10, 2), (15, 2, 2), (15, 10, 0), (15, 20, 2)] {
        let settings = LeaseSettings {
            lease_duration: seconds(lease),
            renew_deadline: seconds(renew),
            retry_period: seconds(retry),
            ..defaults.clone()
        };
        assert!(settings.validate().is_err(), "{lease} {renew} {retry}");
    }
}

#[test]
fn two_processes_of_one_pod_are_two_candidates() {
    let identity = || LeaseSettings::new("system", "scalegate", "pod").identity;
    assert_ne!(identity(), identity());
}
