//! Who changed a count, when and why, as clients see it.

use anyhow::{Context, Result};
use http::Method;
use scalegate::proto::v1::{ListChangesRequest, Workload};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::suite::{self, replicas};
use serde_json::{Value, json};

#[tokio::test]
async fn the_changes_of_a_count_are_shown_with_who_asked_and_why_to_those_who_may_get_it() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("history").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let (operator, viewer) = (suite.client("operator")?, suite.client("viewer")?);
    suite.wait_ready(&operator, &namespace, "web", 3).await?;
    let path = format!("{}/history", replicas(&namespace, "web"));
    let empty = viewer.get(&path).await?;
    assert_eq!((empty.status, &empty.json()["changes"]), (200, &json!([])));

    for (count, reason) in [(5, "launch"), (4, "calm")] {
        let set = operator.put(&replicas(&namespace, "web"), &json!({"replicas": count, "reason": reason})).await?;
        assert_eq!(set.status, 202, "{}", set.json());
        suite.wait_ready(&operator, &namespace, "web", count).await?;
    }
    let shown = poll::eventually("both changes", async || {
        let shown = viewer.get(&path).await?.json();
        Ok((shown["changes"].as_array().is_some_and(|all| all.len() == 2)).then_some(shown))
    })
    .await?;
    let brief = |change: &Value| [&change["from"], &change["to"], &change["reason"]].map(Clone::clone);
    assert_eq!(brief(&shown["changes"][0]), [json!(5), json!(4), json!("calm")], "the latest first: {shown}");
    assert_eq!(brief(&shown["changes"][1]), [json!(3), json!(5), json!("launch")]);
    assert!(shown["changes"][0]["requestedBy"].as_str().context("nobody")?.ends_with("/operator"));
    let id = shown["changes"][0]["decisionId"].as_str().context("no decision")?;
    assert_eq!(suite.record("decision", id).await?["outcome"], "allowed");

    let workload = |name: &str| {
        let workload = Workload { kind: String::new(), namespace: namespace.clone(), name: name.to_owned() };
        ListChangesRequest { workload: Some(workload) }
    };
    let mut service = viewer.replica_service().await?;
    let changes = service.list_changes(workload("web")).await?.into_inner().changes;
    let brief: Vec<_> = changes.iter().map(|change| (change.from, change.to, change.reason.as_str())).collect();
    assert_eq!(brief, [(5, 4, "calm"), (3, 5, "launch")]);
    assert_eq!(changes[0].decision_id, id);
    let missing = service.list_changes(workload("none")).await.err().context("it is not there")?;
    assert_eq!(missing.code(), tonic::Code::NotFound);

    for (client, method, path, status) in [
        ("stranger", Method::GET, path.clone(), 403),
        ("viewer", Method::GET, format!("{path}?x=1"), 400),
        ("viewer", Method::GET, format!("{}/history", replicas(&namespace, "none")), 404),
        ("operator", Method::DELETE, path.clone(), 405),
    ] {
        let answer = suite.client(client)?.request(method.clone(), &path, &[], Vec::new()).await?;
        assert_eq!(answer.status, status, "{client} {method} {path}");
    }
    assert_eq!(operator.delete(&replicas(&namespace, "web")).await?.status, 200);
    poll::eventually("the target to be gone", async || {
        Ok((viewer.get(&path).await?.json()["changes"] == json!([])).then_some(()))
    })
    .await
}
