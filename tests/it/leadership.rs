//! Any number of gateways serve; one reconciles.

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;

/// Whether a gateway reconciles.
pub(crate) async fn leads(gateway: &Gateway) -> Result<bool> {
    Ok(gateway.metric("scalegate_leader ").await? > 0.5)
}

#[tokio::test]
async fn when_the_leader_is_killed_the_other_takes_over_and_brings_a_write_made_in_between() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("leaders").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let one = suite.start(&suite.options("gateway-1")).await?;
    poll::eventually("the first gateway to lead", async || Ok(leads(&one).await?.then_some(()))).await?;
    let two = suite.start(&suite.options("gateway-2")).await?;
    for gateway in [&one, &two] {
        suite::wait_seen(&gateway.client("viewer")?, &namespace, "web").await?;
    }
    assert!(!leads(&two).await?, "two leaders at once");

    one.kill().await?;
    let operator = two.client("operator")?;
    let answer = operator.put(&suite::replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    assert_eq!(answer.status, 202, "{}", answer.json());
    assert_eq!(answer.json()["progress"]["applied"], false);
    poll::eventually("the second gateway to lead", async || Ok(leads(&two).await?.then_some(()))).await?;
    suite::wait_ready(&operator, &namespace, "web", 4).await?;
    two.terminate().await
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_without_waiting_for_the_lease() -> Result<()> {
    let suite = suite::exclusive().await?;
    let one = suite.start(&suite.options("leaving")).await?;
    poll::eventually("the first gateway to lead", async || Ok(leads(&one).await?.then_some(()))).await?;
    one.terminate().await?;
    let leases: kube::Api<k8s_openapi::api::coordination::v1::Lease> =
        kube::Api::namespaced(suite.kube().await?, scalegate_tests::stack::SYSTEM);
    let holder =
        leases.get(scalegate_tests::stack::LEASE).await?.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    assert_eq!(holder, "");
    Ok(())
}

#[tokio::test]
async fn a_gateway_killed_in_the_middle_of_writes_loses_nothing_that_it_accepted() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("crash").await?;
    let kube = suite.kube().await?;
    let names: Vec<String> = (0..20).map(|n| format!("app-{n:02}")).collect();
    for name in &names {
        deployment(&namespace, name).replicas(2).create(&kube).await?;
    }
    let gateway = suite.start(&suite.options("crashing")).await?;
    let operator = gateway.client("operator")?;
    for name in &names {
        suite::wait_seen(&operator, &namespace, name).await?;
    }

    let mut writes = tokio::task::JoinSet::new();
    for name in names.clone() {
        let (operator, path) = (operator.clone(), suite::replicas(&namespace, &name));
        writes.spawn(async move { (name, operator.put(&path, &json!({"replicas": 3})).await) });
    }
    // Some are answered, some are under way, some not begun.
    let mut accepted = Vec::new();
    while let Some(result) = writes.join_next().await {
        let (name, answer) = result?;
        if answer.is_ok_and(|answer| answer.status == 202) {
            accepted.push(name);
        }
        if accepted.len() == 5 {
            break;
        }
    }
    gateway.kill().await?;
    while let Some(result) = writes.join_next().await {
        let (name, answer) = result?;
        if answer.is_ok_and(|answer| answer.status == 202) {
            accepted.push(name);
        }
    }
    assert!(accepted.len() >= 5);

    let gateway = suite.start(&suite.options("after-the-crash")).await?;
    for name in &accepted {
        suite::wait_ready(&gateway.client("viewer")?, &namespace, name, 3).await?;
    }
    gateway.terminate().await
}
