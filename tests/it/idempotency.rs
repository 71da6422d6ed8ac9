//! Sets that are asked for again with the same key: they are stored once.

use anyhow::{Context, Result};
use http::Method;
use kube::Api;
use scalegate::proto::v1::{ReleaseReplicasRequest, SetReplicasRequest, Workload};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::client::{Answer, Client};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::suite::{self, Shared, replicas};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;

async fn keyed(client: &Client, path: &str, key: &str, more: &[(&str, &str)], body: &Value) -> Result<Answer> {
    let headers = [&[("content-type", "application/json"), ("idempotency-key", key)], more].concat();
    client.request(Method::PUT, path, &headers, body.to_string().into_bytes()).await
}

/// A new Deployment of three replicas, ready: its namespace.
async fn web(suite: &Shared) -> Result<String> {
    let namespace = suite.namespace("keys").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_ready(&suite.client("operator")?, &namespace, "web", 3).await?;
    Ok(namespace)
}

#[tokio::test]
async fn a_set_that_is_repeated_with_its_key_is_stored_once_whatever_was_stored_since() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = web(&suite).await?;
    let (operator, path) = (suite.client("operator")?, replicas(&namespace, "web"));
    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    let now = operator.get(&path).await?.header("etag").to_owned();
    let body = json!({"replicas": 5, "reason": "launch"});

    let first = keyed(&operator, &path, "\"first\"", &[("if-match", &now)], &body).await?;
    assert_eq!((first.status, &first.json()["repeated"]), (202, &Value::Null), "{}", first.json());
    // The precondition was met when it was stored.
    let again = keyed(&operator, &path, "first", &[("if-match", &now)], &body).await?;
    let view = again.json();
    assert_eq!((again.status, &view["repeated"]), (202, &json!(true)), "{view}");
    assert_eq!(view["version"], first.json()["version"], "nothing was written");
    assert_eq!(view["target"]["decisionId"], first.json()["decisionId"]);
    assert_ne!(view["decisionId"], first.json()["decisionId"], "it was decided anew");
    let id = view["decisionId"].as_str().context("no decision")?;
    assert_eq!(suite.record("decision", id).await?["outcome"], "allowed");
    assert_eq!(suite.record("outcome", id).await?["outcome"], "repeated");

    suite.wait_ready(&operator, &namespace, "web", 5).await?;
    let between = operator.put(&path, &json!({"replicas": 4})).await?;
    assert_eq!(between.status, 202, "{}", between.json());
    let late = keyed(&operator, &format!("{path}?wait=40s"), "first", &[], &body).await?;
    assert_eq!((late.status, &late.json()["repeated"]), (200, &json!(true)), "{}", late.json());
    assert_eq!(late.json()["spec"]["replicas"], 4, "another set came between, and is not undone");

    let spec = targets.get("web").await?.spec;
    assert_eq!((spec.replicas, spec.keyed_requests.len()), (4, 1));
    assert!(!serde_json::to_string(&spec)?.contains("first"), "the key itself is nobody else's business");
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_refused_at_both_doors() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = web(&suite).await?;
    let (operator, path) = (suite.client("operator")?, replicas(&namespace, "web"));
    assert_eq!(keyed(&operator, &path, "k", &[], &json!({"replicas": 4})).await?.status, 202);
    for (path, body) in [
        (path.clone(), json!({"replicas": 5})),
        (path.clone(), json!({"replicas": 4, "reason": "why"})),
        (format!("{path}?dryRun=true"), json!({"replicas": 5})),
    ] {
        let other = keyed(&operator, &path, "k", &[], &body).await?;
        assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"), "{}", other.json());
    }
    // What may not be set is refused as ever, whatever its key.
    let refused = keyed(&operator, &path, "k", &[], &json!({"replicas": 400})).await?;
    assert_eq!((refused.status, refused.code().as_str()), (403, "refused"));
    for (key, more) in [("", None), ("a\"b", None), ("a", Some(("idempotency-key", "b")))] {
        let more: Vec<_> = more.into_iter().collect();
        let wrong = keyed(&operator, &path, key, &more, &json!({"replicas": 4})).await?;
        assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_idempotency_key"), "{key:?}");
    }

    let mut service = operator.replica_service().await?;
    let workload = Some(Workload { kind: String::new(), namespace: namespace.clone(), name: "web".to_owned() });
    let set = |replicas, key: &str| SetReplicasRequest {
        workload: workload.clone(),
        replicas: Some(replicas),
        idempotency_key: key.to_owned(),
        ..SetReplicasRequest::default()
    };
    assert!(service.set_replicas(set(4, "k")).await?.into_inner().repeated, "the doors share the keys");
    let status = service.set_replicas(set(5, "k")).await.err().context("another request under the same key")?;
    let code = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), code.as_deref()), (Code::FailedPrecondition, Some("idempotency_key_reused")));
    let status = service.set_replicas(set(5, "é")).await.err().context("a key that is no key")?;
    assert_eq!(status.code(), Code::InvalidArgument);
    let release = ReleaseReplicasRequest { workload, idempotency_key: "k".to_owned(), ..Default::default() };
    let status = service.release_replicas(release).await.err().context("a key of a release")?;
    assert_eq!(status.code(), Code::Unimplemented);
    let delete = operator.request(Method::DELETE, &path, &[("idempotency-key", "k")], Vec::new()).await?;
    assert_eq!((delete.status, delete.code().as_str()), (400, "invalid_idempotency_key"));
    Ok(())
}

#[tokio::test]
async fn of_many_equal_sets_at_once_one_is_stored() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = web(&suite).await?;
    let (operator, path) = (suite.client("operator")?, replicas(&namespace, "web"));
    let body = json!({"replicas": 6});
    let sets = (0..8).map(|_| keyed(&operator, &path, "storm", &[], &body));
    let answers = futures::future::try_join_all(sets).await?;
    let stored: Vec<_> = answers.iter().filter(|answer| answer.json()["repeated"].is_null()).collect();
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    assert_eq!(stored.len(), 1, "{answers:?}");
    let target: ReplicaTarget = Api::namespaced(suite.kube().await?, &namespace).get("web").await?;
    assert_eq!(target.metadata.generation, Some(1));
    Ok(())
}
