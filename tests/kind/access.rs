//! Who gets in, from outside and around.

use anyhow::Result;
use scalegate::proto::v1::{GetReplicasRequest, ReleaseReplicasRequest, SetReplicasRequest, Workload};
use scalegate_tests::suite::replicas;
use serde_json::json;
use tonic::Code;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;

use crate::cluster::{DEMO, RELEASE, client, count, eventually, helm, kubectl, kubectl_refused};

const EDITOR: &str = "--as=system:serviceaccount:demo:editor";

#[tokio::test]
async fn helm_test_reads_over_mtls_within_the_cluster() -> Result<()> {
    let told = helm(&["test", RELEASE, "-n", RELEASE, "--timeout", "2m"]).await?;
    assert!(told.contains("Succeeded"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_client_outside_reads_and_sets_and_it_arrives() -> Result<()> {
    let web = replicas(DEMO, "web");
    assert!([200, 404].contains(&client("operator")?.delete(&web).await?.status));
    kubectl(&["-n", DEMO, "scale", "deployment", "web", "--replicas=3"]).await?;
    eventually("3 replicas", async || Ok((count(DEMO, "web").await? == "3").then_some(()))).await?;
    let seen = client("viewer")?.get(&web).await?;
    assert_eq!(seen.status, 200, "{}", seen.json());
    let set = client("operator")?.put(&web, &json!({"replicas": 5, "reason": "launch"})).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    eventually("5 ready pods", async || {
        let view = client("viewer")?.get(&web).await?.json();
        Ok((view["progress"]["ready"] == true && view["status"]["readyReplicas"] == 5).then_some(()))
    })
    .await?;
    assert_eq!(count(DEMO, "web").await?, "5");
    let refused = client("viewer")?.put(&web, &json!({"replicas": 2})).await?;
    assert_eq!((refused.status, refused.code().as_str()), (403, "refused"));
    for name in ["expired", "revoked", "other-ca"] {
        assert!(client(name)?.get("/healthz").await.is_err(), "{name} got in");
    }
    assert_eq!(client("operator")?.delete(&web).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_grpc_client_outside_reads_and_sets_through_the_same_port() -> Result<()> {
    let workload = Some(Workload { namespace: DEMO.to_owned(), name: "web".to_owned(), ..Workload::default() });
    let set = |count| SetReplicasRequest {
        workload: workload.clone(),
        replicas: Some(count),
        reason: "launch".to_owned(),
        ..SetReplicasRequest::default()
    };
    let mut health = client("viewer")?.health_service().await?;
    for service in ["", "kubernetes"] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await?.into_inner();
        assert_eq!(answer.status, ServingStatus::Serving as i32, "{service:?}");
    }
    let mut operator = client("operator")?.replica_service().await?;
    let before = count(DEMO, "web").await?;
    let accepted = operator.set_replicas(set(4)).await?.into_inner();
    let target = accepted.replicas.and_then(|replicas| replicas.target);
    assert_eq!(target.map(|target| target.replicas), Some(4));
    eventually("4 ready pods", async || {
        let read = GetReplicasRequest { workload: workload.clone(), ..GetReplicasRequest::default() };
        let seen = client("viewer")?.replica_service().await?.get_replicas(read).await?.into_inner().replicas;
        let ready = seen.as_ref().and_then(|seen| seen.status.as_ref()).map(|status| status.ready_replicas);
        Ok((ready == Some(4)).then_some(()))
    })
    .await?;
    assert_eq!(count(DEMO, "web").await?, "4");

    let mut viewer = client("viewer")?.replica_service().await?;
    let refused = viewer.set_replicas(set(2)).await.expect_err("a viewer may not set");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    for name in ["expired", "revoked", "other-ca"] {
        // With TLS 1.3 a client learns only from its first answer that it was refused.
        let checked = match client(name)?.health_service().await {
            Ok(mut health) => health.check(HealthCheckRequest::default()).await.map(drop).map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        assert!(checked.is_err(), "{name} got in");
    }
    let release = ReleaseReplicasRequest { workload, ..ReleaseReplicasRequest::default() };
    operator.release_replicas(release).await?;
    kubectl(&["-n", DEMO, "scale", "deployment", "web", &format!("--replicas={before}")]).await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_is_no_second_door_around_the_policy() -> Result<()> {
    let role = [
        "create",
        "role",
        "editor",
        "--verb=*",
        "--resource=replicatargets.scalegate.dev,replicatargets.scalegate.dev/scale",
    ];
    // All verbs would hold the one that passes, so they are named.
    let verbs = "--verb=get,list,watch,create,update,patch,delete";
    let role: Vec<&str> = role.into_iter().map(|word| if word == "--verb=*" { verbs } else { word }).collect();
    let _ = kubectl(&["-n", DEMO, "delete", "role,rolebinding,serviceaccount", "editor", "--ignore-not-found"]).await?;
    kubectl(&["-n", DEMO, "create", "serviceaccount", "editor"]).await?;
    kubectl(&[&["-n", DEMO], role.as_slice()].concat()).await?;
    kubectl(&["-n", DEMO, "create", "rolebinding", "editor", "--role=editor", "--serviceaccount=demo:editor"]).await?;
    let set = client("operator")?.put(&replicas(DEMO, "worker"), &json!({"replicas": 1})).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    eventually("the target", async || Ok(kubectl(&["-n", DEMO, "get", "rt", "worker"]).await.ok())).await?;

    let patch = ["-n", DEMO, EDITOR, "patch", "rt", "worker", "--type=merge", "-p"];
    let spec = kubectl_refused(&[&patch[..], &[r#"{"spec": {"replicas": 9}}"#]].concat()).await?;
    assert!(spec.contains("set-directly"), "{spec}");
    let scale = kubectl_refused(&["-n", DEMO, EDITOR, "scale", "rt", "worker", "--replicas=9"]).await?;
    assert!(scale.contains("set-directly"), "{scale}");
    kubectl(&[&patch[..], &[r#"{"metadata": {"labels": {"a": "b"}}}"#]].concat()).await?;
    assert_eq!(count(DEMO, "worker").await?, "1");
    kubectl(&["-n", DEMO, EDITOR, "delete", "rt", "worker"]).await?;
    assert_eq!(count(DEMO, "worker").await?, "1");
    Ok(())
}
