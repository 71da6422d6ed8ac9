//! What reaches the API server, and what its answers become.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use futures::FutureExt;
use serde_json::{Value, json};

use crate::audit::testing::Recorded;
use crate::clients::testing::clients;
use crate::kubernetes::testing::script::{ScriptedApi, scripted_api};
use crate::kubernetes::traced;
use crate::policy::PendingChange;
use crate::replicas::Replicas;
use crate::replicas::fixtures::{Object, deployment, target};
use crate::trace::{TRACEPARENT, TraceContext};
use crate::workload::WorkloadRef;

use super::*;

const PATH: &str = "/apis/scalegate.dev/v1alpha1/namespaces/demo/replicatargets";

fn order(replicas: i32) -> Order {
    Order {
        replicas,
        requested_by: "uri:spiffe://example.org/ci".to_owned(),
        reason: Some("release".to_owned()),
        decision_id: "0190".to_owned(),
        keyed: None,
    }
}

fn spec(replicas: i32) -> Value {
    json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "replicas": replicas,
        "requestedBy": "uri:spiffe://example.org/ci", "reason": "release", "decisionId": "0190"
    })
}

fn owner(uid: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid})
}

fn seen(objects: impl IntoIterator<Item = Object>) -> Observation {
    Replicas::from_objects(objects).observe(&WorkloadRef::deployment("demo", "web"))
}

fn web() -> Object {
    Object::Deployment(deployment("demo", "web", 3))
}

/// A target of the Deployment with `uid`.
fn target_of(uid: &str) -> Object {
    let mut target = target("demo", "web", 3);
    target.metadata.owner_references = Some(vec![serde_json::from_value(owner(uid)).unwrap()]);
    Object::Target(Box::new(target))
}

fn web_uid() -> String {
    deployment("demo", "web", 3).uid
}

/// Lets `write` run against an API server that `answer` plays.
async fn against<T>(write: impl AsyncFnOnce(Targets) -> T, answer: impl AsyncFnOnce(&mut ScriptedApi)) -> T {
    let (client, mut api) = scripted_api();
    let (result, ()) = tokio::join!(write(Targets::new(&client, Spans::default())), answer(&mut api));
    result
}

#[tokio::test]
async fn the_first_set_creates_a_target_that_its_deployment_owns() {
    let seen = seen([web()]);
    let stored = against(
        async |targets| targets.write(&seen, order(6)).await,
        async |api| {
            let (body, call) = api.next().await.body().await;
            assert_eq!(call.request.method(), "POST");
            assert_eq!(call.request.uri().path(), PATH);
            assert_eq!(call.parameter("fieldManager").as_deref(), Some("scalegate"));
            assert_eq!(body["metadata"]["name"], "web");
            assert_eq!(body["metadata"]["ownerReferences"], json!([owner(&web_uid())]));
            assert_eq!(body["spec"], spec(6));
            call.reply(201, &body);
        },
    )
    .await
    .unwrap();
    assert_eq!(stored.spec.replicas, 6);
}

#[tokio::test]
async fn a_write_names_the_trace_of_its_request() {
    let named = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let context = TraceContext::of(&[(TRACEPARENT, named.parse().unwrap())].into_iter().collect());
    for (context, expected) in [(context, Some(named)), (None, None)] {
        let seen = seen([web()]);
        against(
            async |targets| traced(context, targets.write(&seen, order(6))).await,
            async |api| {
                let (body, call) = api.next().await.body().await;
                let sent = call.request.headers().get(TRACEPARENT).map(|value| value.to_str().unwrap());
                assert_eq!(sent, expected);
                call.reply(201, &body);
            },
        )
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_later_set_replaces_the_spec_of_the_target_that_was_seen_and_no_other() {
    let seen = seen([web(), target_of(&web_uid())]);
    let metadata = seen.target.as_ref().unwrap().metadata.clone();
    against(
        async |targets| targets.write(&seen, order(3)).await,
        async |api| {
            let (body, call) = api.next().await.body().await;
            assert_eq!(call.request.method(), "PATCH");
            assert_eq!(call.request.uri().path(), format!("{PATH}/web"));
            let expected = json!([
                {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
                {"op": "test", "path": "/metadata/generation", "value": 1},
                {"op": "replace", "path": "/spec", "value": spec(3)},
            ]);
            assert_eq!(body, expected, "who and why are written although the count is the same");
            call.reply(200, &serde_json::to_value(seen.target.as_deref()).unwrap());
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_set_on_a_recreated_deployment_passes_the_target_on_to_it() {
    let mut target = target("demo", "web", 3);
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "other"});
    target.metadata.owner_references = Some(serde_json::from_value(json!([owner("former"), other])).unwrap());
    let seen = seen([web(), Object::Target(Box::new(target))]);
    let result = against(
        async |targets| targets.write(&seen, order(3)).await,
        async |api| {
            let (body, call) = api.next().await.body().await;
            let owners = json!([other, owner(&web_uid())]);
            assert_eq!(body[3], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "1"}));
            assert_eq!(body[4], json!({"op": "add", "path": "/metadata/ownerReferences", "value": owners}));
            call.refuse(422, "Invalid", "the server rejected our request due to an error in our request");
        },
    )
    .await;
    assert!(matches!(result, Err(WriteError::MovedOn)), "{result:?}");
}

#[tokio::test]
async fn without_a_deployment_nothing_is_written() {
    let (client, _api) = scripted_api();
    let result = Targets::new(&client, Spans::default()).write(&seen([]), order(3)).await;
    assert!(matches!(result, Err(WriteError::Rejected { .. })), "{result:?}");
}

#[tokio::test]
async fn a_release_deletes_the_target_that_was_seen() {
    let seen = seen([web(), target_of(&web_uid())]);
    let metadata = seen.target.as_ref().unwrap().metadata.clone();
    against(
        async |targets| targets.delete(&seen).await,
        async |api| {
            let (body, call) = api.next().await.body().await;
            assert_eq!(call.request.method(), "DELETE");
            assert_eq!(call.request.uri().path(), format!("{PATH}/web"));
            assert_eq!(body["preconditions"], json!({"uid": metadata.uid, "resourceVersion": "1"}));
            call.reply(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_release_goes_on_when_only_the_status_was_updated() {
    let seen = seen([web(), target_of(&web_uid())]);
    let mut current = seen.target.as_deref().cloned().unwrap();
    current.metadata.resource_version = Some("2".to_owned());
    against(
        async |targets| targets.delete(&seen).await,
        async |api| {
            api.next().await.refuse(409, "Conflict", "the ResourceVersion in the precondition does not match");
            let (body, call) = api.next().await.body().await;
            assert_eq!(call.request.method(), "PATCH");
            let expected = json!([
                {"op": "test", "path": "/metadata/uid", "value": current.metadata.uid},
                {"op": "test", "path": "/metadata/generation", "value": 1},
            ]);
            assert_eq!(body, expected, "nothing is changed");
            call.reply(200, &serde_json::to_value(&current).unwrap());
            let (body, call) = api.next().await.body().await;
            assert_eq!(body["preconditions"]["resourceVersion"], "2");
            call.reply(200, &json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_release_does_not_delete_a_count_that_was_set_after_the_decision() {
    let seen = seen([web(), target_of(&web_uid())]);
    let result = against(
        async |targets| targets.delete(&seen).await,
        async |api| {
            api.next().await.refuse(409, "Conflict", "the ResourceVersion in the precondition does not match");
            api.next().await.refuse(422, "Invalid", "the server rejected our request due to an error in our request");
        },
    )
    .await;
    assert!(matches!(result, Err(WriteError::MovedOn)), "{result:?}");
}

#[tokio::test]
async fn a_release_without_a_target_writes_nothing() {
    let (client, mut api) = scripted_api();
    let seen = seen([web()]);
    let targets = Targets::new(&client, Spans::default());
    tokio::select! {
        biased;
        result = targets.delete(&seen) => result.unwrap(),
        call = api.next() => panic!("asked {}", call.uri()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_unavailable_and_not_a_hang() {
    let seen = seen([web()]);
    let (client, mut api) = scripted_api();
    let targets = Targets::new(&client, Spans::default());
    let (result, _unanswered) = tokio::join!(targets.write(&seen, order(6)), api.next());
    assert!(matches!(result, Err(WriteError::Unavailable { .. })), "{result:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_is_unavailable() {
    let seen = seen([web()]);
    let result =
        against(async |targets| targets.write(&seen, order(6)).await, async |api| drop(api.next().await)).await;
    assert!(matches!(result, Err(WriteError::Unavailable { .. })), "{result:?}");
}

#[tokio::test]
async fn a_write_that_has_begun_runs_to_its_end_although_nobody_waits_for_it() {
    let (client, mut api) = scripted_api();
    let seen = seen([web()]);
    let targets = Targets::new(&client, Spans::default());
    let (writer, seen) = (targets.clone(), seen.clone());
    let recorded = Recorded::new();
    let place = clients().account(None).change().unwrap();
    let pending = PendingChange::new(recorded.permitted().await, place);
    let stored = |target: &ReplicaTarget| ended("stored", Version::of(target));
    let write = async move { writer.write(&seen, order(6)).await };
    let mut waiting = Box::pin(targets.in_flight.run(Some(pending), stored, write));
    let call = tokio::select! {
        biased;
        result = &mut waiting => panic!("it ended before it was answered: {result:?}"),
        call = api.next() => call,
    };
    drop(waiting);
    tokio::task::yield_now().await;
    assert!(!call.is_abandoned(), "the request was given up with its client");
    assert!(targets.ended().now_or_never().is_none(), "a write is under way");
    let (body, call) = call.body().await;
    call.reply(201, &body);
    targets.ended().await;
    let records = recorded.records();
    assert_eq!((&records[1]["kind"], &records[1]["outcome"]), (&json!("outcome"), &json!("stored")));
}
