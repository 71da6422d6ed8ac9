//! What the watch loop makes of an API server's faults. Time is paused: waiting costs nothing and races nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixture;

use std::time::Duration;

use serde_json::json;

use super::super::fixtures::{self, Object};
use super::super::kind::{DeploymentKind, NamespaceKind};
use super::super::{CacheChange, ContactState, Watched};
use super::*;

use self::fixture::{deployment, is_a_list, undecodable, watching, watching_in};
use crate::workload::WorkloadRef;

#[tokio::test(start_paused = true)]
async fn everything_is_listed_page_by_page_and_then_followed() {
    let mut fixture = watching::<DeploymentKind>();

    let call = fixture.api.next().await;
    assert!(is_a_list(&call));
    assert_eq!(call.parameter("limit").as_deref(), Some("500"));
    call.list("10", &[deployment("api", "3", 1)], Some("token"));
    let call = fixture.api.next().await;
    assert_eq!(call.parameter("continue").as_deref(), Some("token"));
    assert_eq!(fixture.count("api"), None, "half a list is not shown");
    call.list("10", &[deployment("web", "7", 2)], None);
    assert_eq!(fixture.changes.next().await, CacheChange::All);
    assert_eq!((fixture.count("api"), fixture.count("web")), (Some(1), Some(2)));

    let stream = fixture.watch_from("10").await;
    stream.event("MODIFIED", &deployment("web", "11", 5));
    fixture.changed("web").await;
    assert_eq!(fixture.count("web"), Some(5));
    stream.event("ADDED", &deployment("new", "12", 3));
    fixture.changed("new").await;
    assert_eq!(fixture.count("new"), Some(3));
    stream.event("DELETED", &deployment("api", "13", 1));
    fixture.changed("api").await;
    assert_eq!(fixture.count("api"), None);
}

#[tokio::test(start_paused = true)]
async fn a_closed_watch_goes_on_from_the_last_bookmark() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[]).await;
    stream.bookmark("20");
    drop(stream);
    let stream = fixture.watch_from("20").await;
    stream.event("ADDED", &deployment("web", "21", 1));
    fixture.changed("web").await;
    stream.cut();
    fixture.watch_from("21").await;
    let metrics = fixture.metrics();
    let closed = "watch_restarts_total{resource=\"deployments\",reason=\"closed\"} 0";
    assert!(metrics.contains(closed), "an end in good order is no restart: {metrics}");
    assert!(metrics.contains("watch_restarts_total{resource=\"deployments\",reason=\"error\"} 1"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_relist_after_410_drops_what_was_deleted_meanwhile_and_serves_the_old_state_until_then() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[deployment("api", "1", 1), deployment("web", "2", 2)]).await;
    stream.event("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}));

    let call = fixture.api.next().await;
    assert!(is_a_list(&call), "{}", call.uri());
    assert_eq!((fixture.count("api"), fixture.count("web")), (Some(1), Some(2)));
    call.list("90", &[deployment("web", "80", 8)], None);
    assert_eq!(fixture.changes.next().await, CacheChange::All);
    assert_eq!((fixture.count("api"), fixture.count("web")), (None, Some(8)));
    fixture.watch_from("90").await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_opened_again_and_gets_no_answer_grows_old_from_the_end_of_the_one_before() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[deployment("web", "1", 1)]).await;
    stream.bookmark("20");
    drop(stream);
    let _unanswered = fixture.api.next().await;
    assert!(matches!(fixture.contact().state, ContactState::Connected { .. }));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(fixture.contact().age, Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn a_watch_refused_with_410_lists_again() {
    let mut fixture = watching::<DeploymentKind>();
    drop(fixture.listed(&[]).await);
    fixture.api.next().await.refuse(410, "Expired", "too old");
    assert!(is_a_list(&fixture.api.next().await));
}

#[tokio::test(start_paused = true)]
async fn a_continue_token_that_expired_starts_the_list_over() {
    let mut fixture = watching::<DeploymentKind>();
    fixture.api.next().await.list("10", &[deployment("api", "3", 1)], Some("token"));
    fixture.api.next().await.refuse(410, "Expired", "the continue token is too old");
    let call = fixture.api.next().await;
    assert_eq!(call.parameter("continue"), None, "{}", call.uri());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_understood_is_skipped_alone() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[undecodable("odd", "1"), deployment("web", "2", 2)]).await;
    assert_eq!((fixture.count("odd"), fixture.count("web")), (None, Some(2)));

    stream.event("MODIFIED", &undecodable("web", "11"));
    stream.event("ADDED", &deployment("api", "12", 1));
    fixture.changed("api").await;
    assert_eq!(fixture.count("web"), Some(2), "the last known state serves on");
    let metrics = fixture.metrics();
    assert!(metrics.contains("cache_undecodable_objects_total{resource=\"deployments\"} 2"), "{metrics}");

    stream.event("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old"}));
    fixture.api.next().await.list("30", &[undecodable("web", "11")], None);
    assert_eq!(fixture.changes.next().await, CacheChange::All);
    assert_eq!((fixture.count("api"), fixture.count("web")), (None, Some(2)), "a relist keeps it too");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_an_object_that_is_not_understood_counts() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[deployment("web", "2", 2)]).await;
    stream.event("DELETED", &undecodable("web", "11"));
    fixture.changed("web").await;
    assert_eq!(fixture.count("web"), None);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_event_breaks_the_stream_and_nothing_is_lost() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[]).await;
    stream.event("ADDED", &deployment("web", "11", 1));
    fixture.changed("web").await;
    stream.line("{\"type\": \"NOVELTY\"}");
    fixture.watch_from("11").await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_ages_the_cache_from_its_first_instant_until_a_stream_is_open_again() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[deployment("web", "2", 2)]).await;
    stream.bookmark("11");
    assert_eq!(fixture.contact().age, Duration::ZERO);

    let broke = Instant::now();
    stream.cut();
    for _ in 0..5 {
        drop(fixture.api.next().await);
    }
    assert_eq!(fixture.contact().state, ContactState::Broken { since: broke });
    assert!(broke.elapsed() >= Duration::from_secs(3), "five attempts back off: {:?}", broke.elapsed());
    assert_eq!(fixture.contact().age, broke.elapsed());
    assert_eq!(fixture.count("web"), Some(2), "reads go on");

    let stream = fixture.watch_from("11").await;
    stream.event("MODIFIED", &deployment("web", "12", 4));
    fixture.changed("web").await;
    assert_eq!(fixture.contact().age, Duration::ZERO);
    assert_eq!(fixture.count("web"), Some(4));
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_which_changes_were_missed_ages_the_cache_until_the_list_is_complete() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[deployment("web", "2", 2)]).await;
    stream.event("ADDED", &deployment("api", "11", 1));
    fixture.changed("api").await;
    let broke = Instant::now();
    stream.cut();
    drop(fixture.api.next().await);

    let stream = fixture.watch_from("11").await;
    let reopened = Instant::now();
    stream.event("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}));
    let call = fixture.api.next().await;
    assert!(is_a_list(&call), "{}", call.uri());
    assert_eq!(Instant::now(), reopened, "without a wait");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(fixture.contact().state, ContactState::Broken { since: broke });
    assert_eq!(fixture.contact().age, broke.elapsed());

    call.list("90", &[deployment("web", "80", 8)], None);
    assert_eq!(fixture.changes.next().await, CacheChange::All);
    assert_eq!(fixture.contact().age, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn lists_that_expire_at_once_are_not_repeated_in_a_tight_loop() {
    let mut fixture = watching::<DeploymentKind>();
    let start = Instant::now();
    for _ in 0..8 {
        fixture.api.next().await.refuse(410, "Expired", "too old");
    }
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_given_up_and_its_age_counts_from_the_last_sign_of_life() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[]).await;
    stream.event("ADDED", &deployment("web", "11", 1));
    fixture.changed("web").await;
    let last_sign = Instant::now();

    let call = fixture.api.next().await;
    assert_eq!(call.parameter("resourceVersion").as_deref(), Some("11"));
    assert!(last_sign.elapsed() >= ReplicasSettings::default().idle);
    assert_eq!(fixture.contact().age, last_sign.elapsed());
    let metrics = fixture.metrics();
    assert!(metrics.contains("watch_restarts_total{resource=\"deployments\",reason=\"idle\"} 1"), "{metrics}");
    assert!(metrics.contains("cache_age_seconds{resource=\"deployments\"} 2"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_closes_in_good_order_is_no_break() {
    let mut fixture = watching::<DeploymentKind>();
    let stream = fixture.listed(&[deployment("web", "11", 1)]).await;
    tokio::time::sleep(ReplicasSettings::default().watch_timeout).await;
    let connected = fixture.contact().state;
    drop(stream);

    let call = fixture.api.next().await;
    assert_eq!(call.parameter("resourceVersion").as_deref(), Some("10"));
    assert_eq!((fixture.contact().state, fixture.contact().age), (connected, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_asked_again() {
    let mut fixture = watching::<DeploymentKind>();
    let unanswered = fixture.api.next().await;
    fixture.api.next().await.refuse(503, "ServiceUnavailable", "starting");
    fixture.listed(&[deployment("web", "2", 2)]).await;
    assert_eq!(fixture.count("web"), Some(2));
    drop(unanswered);
}

#[tokio::test(start_paused = true)]
async fn streams_that_close_at_once_are_not_reopened_in_a_tight_loop() {
    let mut fixture = watching::<DeploymentKind>();
    drop(fixture.listed(&[]).await);
    let start = Instant::now();
    for _ in 0..8 {
        drop(fixture.watch_from("10").await);
    }
    assert!(start.elapsed() >= Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_watch_on_namespaces_is_done_without() {
    let mut fixture = watching::<NamespaceKind>();
    for watched in [Watched::Deployments, Watched::Targets, Watched::Autoscalers] {
        fixture.replicas.0.link(&Scope::cluster(), watched, |link| link.listed(Instant::now()));
    }
    let replicas = fixture.replicas.clone();
    assert!(!replicas.is_synced() && !replicas.monitor().contact().synced());
    fixture.api.next().await.refuse(403, "Forbidden", "namespaces is forbidden");
    replicas.synced().await;
    assert!(replicas.is_synced());
    assert_eq!(replicas.monitor().contact().watches[Watched::Namespaces as usize].state, ContactState::Forbidden);
}

fn demo_and_other() -> [Scope; 2] {
    [Scope::namespace("demo"), Scope::namespace("other")]
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_one_namespace_asks_for_that_one_and_leaves_the_others_as_they_are() {
    let mut fixture = watching_in::<DeploymentKind>(&demo_and_other());
    let elsewhere = WorkloadRef::deployment("other", "web");
    fixture.replicas.put(Object::Deployment(fixtures::deployment("other", "web", 7)));
    assert_eq!(fixture.changes.next().await, CacheChange::One(elsewhere.clone()));

    let list = fixture.api.next().await;
    assert!(list.uri().starts_with("/apis/apps/v1/namespaces/demo/deployments?"), "{}", list.uri());
    list.list("10", &[deployment("api", "1", 1), deployment("web", "2", 2)], None);
    assert_eq!(fixture.changes.next().await, CacheChange::All);
    let watch = fixture.api.next().await;
    assert!(watch.uri().starts_with("/apis/apps/v1/namespaces/demo/deployments?"), "{}", watch.uri());
    watch.stream().event("ERROR", &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}));

    fixture.api.next().await.list("90", &[deployment("web", "80", 8)], None);
    assert_eq!(fixture.changes.next().await, CacheChange::All);
    assert_eq!((fixture.count("api"), fixture.count("web")), (None, Some(8)));
    assert_eq!(fixture.replicas.observe(&elsewhere).workload.map(|workload| workload.replicas), Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_listed_namespace_that_is_forbidden_is_waited_for() {
    let mut fixture = watching_in::<DeploymentKind>(&demo_and_other());
    for (scope, watched) in fixture.replicas.monitor().contact().watches.into_iter().map(|it| (it.scope, it.watched)) {
        if (scope.name(), watched) != (Some("demo"), Watched::Deployments) {
            fixture.replicas.0.link(&scope, watched, |link| link.listed(Instant::now()));
        }
    }
    fixture.api.next().await.refuse(403, "Forbidden", "deployments.apps is forbidden");
    let again = fixture.api.next().await;
    assert!(!fixture.replicas.is_synced() && !fixture.replicas.monitor().contact().synced());

    again.list("10", &[], None);
    fixture.replicas.synced().await;
}
