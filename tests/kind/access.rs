//! Who gets in, from outside and around.

use anyhow::Result;
use scalegate_tests::suite::replicas;
use serde_json::json;

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
