//! What an uninstalled release leaves behind.

use anyhow::Result;
use scalegate_tests::suite::replicas;
use serde_json::json;

use crate::cluster::{DEMO, RELEASE, client, count, deploy, eventually, helm, kubectl};

#[tokio::test]
async fn uninstalling_keeps_the_counts_the_targets_and_their_definition() -> Result<()> {
    let set = client("operator")?.put(&replicas(DEMO, "worker"), &json!({"replicas": 2})).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    eventually("2 replicas", async || Ok((count(DEMO, "worker").await? == "2").then_some(()))).await?;

    helm(&["uninstall", RELEASE, "-n", RELEASE, "--wait", "--timeout", "2m"]).await?;
    assert_eq!(count(DEMO, "worker").await?, "2");
    assert_eq!(kubectl(&["-n", DEMO, "get", "rt", "worker", "-o", "jsonpath={.spec.replicas}"]).await?, "2");
    let left = kubectl(&[
        "-n",
        RELEASE,
        "get",
        "deployments,services,configmaps,roles",
        "-o",
        "name",
        "-l",
        "app.kubernetes.io/instance=scalegate",
    ])
    .await?;
    assert_eq!(left, "");

    // Installed again, it takes up where it was.
    deploy("scalegate:dev", "normal").await?;
    kubectl(&["-n", DEMO, "scale", "deployment", "worker", "--replicas=1"]).await?;
    eventually("the drift to be put back", async || Ok((count(DEMO, "worker").await? == "2").then_some(()))).await?;
    assert_eq!(client("operator")?.delete(&replicas(DEMO, "worker")).await?.status, 200);
    Ok(())
}
