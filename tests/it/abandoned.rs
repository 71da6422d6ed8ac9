//! Writes whose clients are gone, or whose deadline has passed, when the API server gets to them.

use std::time::Duration;

use anyhow::Result;
use kube::Api;
use scalegate::proto::v1::{SetReplicasRequest, Workload};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::controlplane::Paused;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::{Gateway, read_log, read_records};
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::{Value, json};
use tonic::{Code, Request};

/// Waits until the log has a line that `is_it` takes for the one.
async fn logged(gateway: &Gateway, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
    poll::eventually(what, async || Ok(gateway.log().into_iter().find(|line| is_it(line)))).await
}

#[tokio::test]
async fn a_write_is_stored_and_logged_although_its_client_left_or_waited_too_short() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let (namespace, kube) = (suite.namespace("abandoned").await?, suite.kube().await?);
    for name in ["left", "late", "last"] {
        deployment(&namespace, name).replicas(3).create(&kube).await?;
    }
    let gateway = suite.start(&suite.options("abandoned")).await?;
    let operator = gateway.client("operator")?;
    for name in ["left", "late", "last"] {
        suite::wait_ready(&operator, &namespace, name, 3).await?;
    }
    let mut service = operator.replica_service().await?;

    let paused = Paused::api_server(plane).await?;
    // Over HTTP, a client that leaves once it is decided.
    let body = json!({"replicas": 4});
    let path = suite::replicas(&namespace, "left");
    let client = operator.clone();
    let left = tokio::spawn(async move { client.put(&path, &body).await });
    let first = logged(&gateway, "the first write to begin", |line| line["message"] == "write begun").await?;
    left.abort();
    // Over gRPC, one whose deadline passes.
    let workload = Workload { kind: String::new(), namespace: namespace.clone(), name: "late".into() };
    let message = SetReplicasRequest { workload: Some(workload), replicas: Some(5), ..SetReplicasRequest::default() };
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(1));
    let late = service.set_replicas(request).await;
    assert_eq!(late.map_err(|status| status.code()).err(), Some(Code::DeadlineExceeded));
    drop(paused);

    let is_end = |record: &Value| record["kind"] == "outcome" && record["outcome"] == "stored";
    let both = poll::eventually("both writes to end", async || {
        let ends: Vec<Value> = gateway.records().into_iter().filter(is_end).collect();
        Ok((ends.len() == 2).then_some(ends))
    })
    .await?;
    assert!(both.iter().any(|record| record["requestId"] == first["span"]["request_id"]), "{both:?}");
    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    for (name, replicas) in [("left", 4), ("late", 5)] {
        assert_eq!(targets.get(name).await?.spec.replicas, replicas, "{name}");
    }

    // A release says whether there was anything to release.
    suite::wait_ready(&operator, &namespace, "left", 4).await?;
    for outcome in ["released", "nothing_to_do"] {
        assert_eq!(operator.delete(&suite::replicas(&namespace, "left")).await?.status, 200);
        poll::eventually(outcome, async || {
            let is_it = |record: &Value| record["kind"] == "outcome" && record["outcome"] == outcome;
            Ok(gateway.records().iter().any(is_it).then_some(()))
        })
        .await?;
    }

    // And one that is under way when the gateway is told to stop.
    let paused = Paused::api_server(plane).await?;
    let client = operator.clone();
    let path = suite::replicas(&namespace, "last");
    let begun = || gateway.log().iter().filter(|line| line["message"] == "write begun").count();
    let before = begun();
    let last = tokio::spawn(async move { client.put(&path, &json!({"replicas": 6})).await });
    poll::eventually("the last write to begin", async || Ok((begun() > before).then_some(()))).await?;
    last.abort();
    let log = gateway.log_path().to_owned();
    let ended = tokio::spawn(gateway.terminate());
    poll::eventually("the gateway to stop", async || {
        let stopping =
            read_log(&log).iter().any(|line| line["message"].as_str().is_some_and(|text| text.starts_with("stopping")));
        Ok(stopping.then_some(()))
    })
    .await?;
    drop(paused);
    ended.await??;
    assert_eq!(targets.get("last").await?.spec.replicas, 6);
    let ends = read_records(&log).iter().filter(|record| is_end(record)).count();
    assert_eq!(ends, 3);
    Ok(())
}

#[tokio::test]
async fn a_client_whose_change_takes_too_long_is_told_that_it_may_have_been_stored() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let (namespace, kube) = (suite.namespace("slow").await?, suite.kube().await?);
    deployment(&namespace, "web").replicas(3).create(&kube).await?;
    let mut options = suite.options("slow");
    options.request_timeout = Some(2);
    let gateway = suite.start(&options).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 3).await?;

    let paused = Paused::api_server(plane).await?;
    let late = operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    assert_eq!((late.status, late.code().as_str()), (504, "deadline_exceeded"), "{}", late.json());
    assert!(late.json()["detail"].to_string().contains("may or may not have been stored"), "{}", late.json());
    drop(paused);

    let targets: Api<ReplicaTarget> = Api::namespaced(kube, &namespace);
    let stored = async || Ok(targets.get_opt("web").await?.filter(|target| target.spec.replicas == 4).map(drop));
    poll::eventually("the change to be stored", stored).await?;
    gateway.terminate().await
}
