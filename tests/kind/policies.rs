//! Policies change while the pods run on.

use anyhow::Result;

use crate::cluster::{GATEWAYS, RELEASE, deploy, eventually, hand_back, kubectl, pods, would_set};

async fn frozen(wanted: bool) -> Result<()> {
    let what = if wanted { "the freeze" } else { "the end of the freeze" };
    // Every gateway has a kubelet of its own to wait for.
    let mut in_a_row = 0;
    eventually(what, async || {
        let answer = would_set().await?;
        let is = answer.status == 403 && answer.json().to_string().contains("frozen");
        in_a_row = if is == wanted && (is || answer.status == 200) { in_a_row + 1 } else { 0 };
        Ok((in_a_row == 20).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_policy_changed_by_helm_upgrade_takes_effect_without_a_restart() -> Result<()> {
    frozen(false).await?;
    let before = pods().await?;
    deploy("scalegate:dev", "freeze").await?;
    frozen(true).await?;
    assert_eq!(pods().await?, before);
    deploy("scalegate:dev", "normal").await?;
    frozen(false).await?;
    assert_eq!(pods().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_policy_changed_by_kubectl_takes_effect_without_a_restart_and_a_bad_one_does_not() -> Result<()> {
    frozen(false).await?;
    let before = pods().await?;
    let edit = async |policies: &str| {
        let file = format!("--from-file=policies.yaml={policies}");
        let name = "scalegate-policies";
        let map =
            kubectl(&["-n", RELEASE, "create", "configmap", name, &file, "--dry-run=client", "-o", "json"]).await?;
        let map: serde_json::Value = serde_json::from_str(&map)?;
        let patch = serde_json::json!({ "data": map["data"] }).to_string();
        kubectl(&["-n", RELEASE, "patch", "configmap", name, "--type=merge", "-p", &patch]).await
    };
    edit("target/policies/freeze/policies.yaml").await?;
    frozen(true).await?;
    // What is no policy at all changes nothing, and is told.
    edit("LICENSE").await?;
    eventually("the failure in the log", async || {
        let log = kubectl(&["-n", RELEASE, "logs", "-l", GATEWAYS, "--tail=500"]).await?;
        Ok(log.contains("the last good ones serve on").then_some(()))
    })
    .await?;
    frozen(true).await?;
    hand_back().await?;
    frozen(false).await?;
    assert_eq!(pods().await?, before);
    Ok(())
}
