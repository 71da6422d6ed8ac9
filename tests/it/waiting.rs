//! Sets whose answer waits until the replicas are ready, or says why they are not.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use scalegate::proto::v1::{GetReplicasRequest, SetReplicasRequest, Workload};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::suite::{self, replicas};
use serde_json::json;

#[tokio::test]
async fn a_set_that_waits_is_answered_when_its_replicas_are_ready() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("waiting").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let operator = suite.client("operator")?;
    suite.wait_ready(&operator, &namespace, "web", 2).await?;
    let path = format!("{}?wait=40s", replicas(&namespace, "web"));
    let answer = operator.put(&path, &json!({"replicas": 4})).await?;
    let view = answer.json();
    assert_eq!(answer.status, 200, "{view}");
    assert_eq!(view["progress"], json!({"accepted": true, "applied": true, "ready": true}));
    assert_eq!((&view["status"]["readyReplicas"], &view["target"]["replicas"]), (&json!(4), &json!(4)));
    assert_eq!(view["decisionId"], view["target"]["decisionId"]);
    assert_eq!(answer.header("etag"), format!("\"{}\"", view["version"].as_str().unwrap_or_default()));

    let workload = Workload { kind: String::new(), namespace: namespace.clone(), name: "web".to_owned() };
    let request = SetReplicasRequest {
        workload: Some(workload),
        replicas: Some(3),
        wait: Some(Duration::from_secs(40).try_into()?),
        ..SetReplicasRequest::default()
    };
    let answer = operator.replica_service().await?.set_replicas(request).await?.into_inner();
    let replicas = answer.replicas.unwrap_or_default();
    assert!(replicas.progress.unwrap_or_default().ready);
    assert_eq!(replicas.status.unwrap_or_default().ready_replicas, 3);
    Ok(())
}

#[tokio::test]
async fn what_keeps_replicas_from_being_ready_is_in_every_answer() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("waiting").await?;
    let kube = suite.kube().await?;
    deployment(&namespace, "web").replicas(2).create(&kube).await?;
    let operator = suite.client("operator")?;
    suite.wait_ready(&operator, &namespace, "web", 2).await?;
    // Nothing here counts what a quota has used.
    let quotas: Api<ResourceQuota> = Api::namespaced(kube, &namespace);
    let hard = BTreeMap::from([("pods".to_owned(), Quantity("2".to_owned()))]);
    let quota = ResourceQuota {
        metadata: ObjectMeta { name: Some("few".to_owned()), ..ObjectMeta::default() },
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    };
    quotas.create(&PostParams::default(), &quota).await?;
    let status = json!({"status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}});
    quotas.patch_status("few", &PatchParams::default(), &Patch::Merge(status)).await?;

    let path = replicas(&namespace, "web");
    let answer = operator.put(&format!("{path}?wait=5s"), &json!({"replicas": 4})).await?;
    assert_eq!(answer.status, 202, "{}", answer.json());
    assert_eq!(answer.json()["progress"]["ready"], false);
    let view = poll::eventually("the quota in an answer", async || {
        let view = operator.get(&path).await?.json();
        Ok((view["progress"]["obstacle"]["reason"] == "FailedCreate").then_some(view))
    })
    .await?;
    let message = view["progress"]["obstacle"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("exceeded quota"), "{view}");
    let waited = operator.put(&format!("{path}?wait=1s"), &json!({"replicas": 5})).await?;
    assert_eq!((waited.status, &waited.json()["progress"]["applied"]), (202, &json!(true)), "{}", waited.json());
    let listed = operator.get(&format!("/v1/namespaces/{namespace}/deployments")).await?.json();
    for view in [waited.json(), listed["items"][0].clone()] {
        let message = view["progress"]["obstacle"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("exceeded quota"), "{view}");
    }
    let workload = Workload { kind: String::new(), namespace: namespace.clone(), name: "web".to_owned() };
    let request = GetReplicasRequest { workload: Some(workload), ..GetReplicasRequest::default() };
    let replicas = operator.replica_service().await?.get_replicas(request).await?.into_inner().replicas;
    let obstacle = replicas.unwrap_or_default().progress.unwrap_or_default().obstacle.unwrap_or_default();
    assert_eq!(obstacle.reason, "FailedCreate");
    assert!(obstacle.message.contains("exceeded quota"), "{obstacle:?}");

    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    poll::eventually("the quota in the target", async || {
        let conditions = targets.get("web").await?.status.unwrap_or_default().conditions;
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
        Ok(ready.is_some_and(|ready| ready.message.contains("exceeded quota")).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_wait_ends_at_once_where_it_makes_no_sense() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("waiting").await?;
    deployment(&namespace, "web").replicas(2).paused().create(&suite.kube().await?).await?;
    let operator = suite.client("operator")?;
    suite.wait_seen(&namespace, "web").await?;
    let path = replicas(&namespace, "web");
    let answer = operator.put(&format!("{path}?wait=50s"), &json!({"replicas": 4})).await?;
    assert_eq!((answer.status, &answer.json()["progress"]["applied"]), (202, &json!(true)), "{}", answer.json());
    assert_eq!(answer.json()["progress"]["obstacle"]["reason"], "Paused");
    for query in ["wait=0s", "wait=51s", "wait=30", "wait=", "wait=-1s", "wait=5s&wait=5s", "wait=5s&dryRun=true"] {
        let answer = operator.put(&format!("{path}?{query}"), &json!({"replicas": 3})).await?;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_parameter"), "{query}");
    }
    assert_eq!(operator.get(&format!("{path}?wait=5s")).await?.status, 400);
    Ok(())
}
