//! Sets of one Deployment and of several.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::suite::{self, Shared};
use serde_json::json;

use super::{Printed, done, json, run, tiers};

/// The counts that are wanted of `api`, `job` and `web`.
async fn wanted(suite: &Shared, namespace: &str) -> Result<Vec<i64>> {
    let list = json(suite, "viewer", &["list", "-n", namespace, "-o", "json"]).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let count =
        |item: &serde_json::Value| item["target"]["replicas"].as_i64().or_else(|| item["spec"]["replicas"].as_i64());
    Ok(items.iter().filter_map(count).collect())
}

/// Without what differs from run to run.
fn steady(text: &str, namespace: &str) -> String {
    let ids = text.split(" (decisionId ").enumerate().map(|(at, part)| match at {
        0 => part.to_owned(),
        _ => format!(" (IDS){}", part.split_once(')').map_or("", |(_, rest)| rest)),
    });
    ids.collect::<String>().replace(namespace, "NAMESPACE")
}

#[tokio::test]
async fn of_several_nothing_is_set_where_one_is_refused_unless_in_part() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let front = ["set", "-l", "tier=front", "-n", &namespace, "5"];
    let dry = run(&suite, "operator", &[&front[..], &["--dry-run"]].concat()).await?;
    assert_eq!(dry.code, Some(3));
    insta::assert_snapshot!("set_some_dry_run", steady(&format!("{}{}", dry.out, dry.err), &namespace));

    let all = run(&suite, "operator", &front).await?;
    assert_eq!(all.code, Some(3));
    insta::assert_snapshot!("set_some_refused", steady(&format!("{}{}", all.out, all.err), &namespace));
    assert_eq!(wanted(&suite, &namespace).await?, [1, 1, 3], "nothing was written");

    let part = run(&suite, "operator", &[&front[..], &["--partial", "--wait=90s"]].concat()).await?;
    assert_eq!(part.code, Some(3));
    insta::assert_snapshot!("set_some_in_part", steady(&format!("{}{}", part.out, part.err), &namespace));
    assert_eq!(wanted(&suite, &namespace).await?, [1, 1, 5]);
    Ok(())
}

#[tokio::test]
async fn several_are_set_together() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let front = ["set", "2", "-l", "tier=front", "-n", &namespace, "--reason", "quiet night"];
    let set = done(&suite, "operator", &[&front[..], &["--wait=90s"]].concat()).await?;
    insta::assert_snapshot!("set_several", steady(&set, &namespace));
    let again = json(&suite, "operator", &[&front[..], &["-o", "json"]].concat()).await?;
    let results: Vec<_> = again["items"].as_array().into_iter().flatten().map(|item| &item["result"]).collect();
    assert_eq!(results, ["accepted", "accepted"], "{again}");
    assert_eq!(again["items"][0]["replicas"]["target"]["reason"], "quiet night");
    let names = done(&suite, "operator", &[&front[..], &["-o", "name"]].concat()).await?;
    assert_eq!(names, format!("{namespace}/api\n{namespace}/web\n"));
    let none = run(&suite, "operator", &["set", "2", "-l", "tier=none", "-n", &namespace]).await?;
    assert_eq!((none.code, none.out.as_str()), (Some(4), ""), "{none:?}");
    Ok(())
}

#[tokio::test]
async fn one_is_tried_set_and_waited_for() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let web = ["set", "web", "-n", &namespace];
    let tried = done(&suite, "operator", &[&web[..], &["6", "--dry-run"]].concat()).await?;
    insta::assert_snapshot!("set_dry_run", steady(&tried, &namespace));
    let set = done(&suite, "operator", &[&web[..], &["6", "--wait=90s"]].concat()).await?;
    insta::assert_snapshot!("set_ready", steady(&set, &namespace));
    let ready = json(&suite, "operator", &[&web[..], &["5", "--wait=90s", "-o", "json"]].concat()).await?;
    assert_eq!((&ready["progress"]["ready"], &ready["status"]["readyReplicas"]), (&true.into(), &5.into()), "{ready}");
    let refused = run(&suite, "operator", &[&web[..], &["40"]].concat()).await?;
    assert_eq!(refused.code, Some(3));
    insta::assert_snapshot!("set_refused", steady(&refused.err, &namespace));
    Ok(())
}

#[tokio::test]
async fn what_holds_a_set_up_is_said_at_once_or_when_the_time_is_over() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("cli").await?;
    let kube = suite.kube().await?;
    // Nothing here counts what a quota has used.
    let quotas: Api<ResourceQuota> = Api::namespaced(kube.clone(), &namespace);
    let hard = BTreeMap::from([("pods".to_owned(), Quantity("1".to_owned()))]);
    let quota = ResourceQuota {
        metadata: ObjectMeta { name: Some("few".to_owned()), ..ObjectMeta::default() },
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    };
    quotas.create(&PostParams::default(), &quota).await?;
    let status = json!({"status": {"hard": {"pods": "1"}, "used": {"pods": "1"}}});
    quotas.patch_status("few", &PatchParams::default(), &Patch::Merge(status)).await?;
    deployment(&namespace, "web").create(&kube).await?;
    deployment(&namespace, "held").paused().create(&kube).await?;
    suite.wait_seen(&namespace, "web").await?;
    suite.wait_seen(&namespace, "held").await?;
    let late = run(&suite, "operator", &["set", "web", "2", "-n", &namespace, "--wait=3s"]).await?;
    assert_eq!((late.code, late.out.as_str()), (Some(7), ""), "{late:?}");
    assert!(late.err.contains("not ready after 3s: ") && late.err.contains("desired 2"), "{late:?}");
    assert!(late.err.contains("next: it stays set"), "{late:?}");
    let held = run(&suite, "operator", &["set", "held", "2", "-n", &namespace, "--wait=90s"]).await?;
    assert_eq!(held.code, Some(1), "{held:?}");
    assert!(held.err.contains("it is held up: ") && held.err.contains("Paused"), "{held:?}");
    Ok(())
}

#[tokio::test]
async fn what_an_autoscaler_drives_is_a_conflict() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let autoscaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "load"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 8},
    }))?;
    Api::namespaced(suite.kube().await?, &namespace).create(&PostParams::default(), &autoscaler).await?;
    let owned = poll::eventually("the autoscaler to be seen", async || {
        let shown = done(&suite, "viewer", &["get", "web", "-n", &namespace]).await?;
        Ok(shown.contains("HorizontalPodAutoscaler/load").then_some(shown))
    })
    .await?;
    insta::assert_snapshot!("autoscaled", owned);
    let Printed { code, err, .. } = run(&suite, "operator", &["set", "web", "4", "-n", &namespace]).await?;
    assert_eq!(code, Some(5));
    assert!(err.contains("409 owned_by_autoscaler") && err.contains("next: change what the message names"), "{err}");
    Ok(())
}
