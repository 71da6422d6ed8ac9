//! How streams end, and that their clients lose nothing by it.

use std::time::Duration;

use anyhow::Result;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::follow::{Door, Followed, Follower};
use scalegate_tests::policies::copy;
use scalegate_tests::poll;
use scalegate_tests::suite::{self, replicas};
use serde_json::json;

#[tokio::test]
async fn streams_go_on_elsewhere_when_a_gateway_drains_and_another_leads() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("streams").await?;
    deployment(&namespace, "web").replicas(1).create(&suite.kube().await?).await?;
    let first = suite.start(&suite.options("streams-first")).await?;
    let second = suite.start(&suite.options("streams-second")).await?;
    let (viewers, operator) = (vec![first.client("viewer")?, second.client("viewer")?], second.client("operator")?);
    suite::wait_seen(&operator, &namespace, "web").await?;
    let all = Followed::namespace(&namespace);
    let followers = Door::ALL.map(|door| (Follower::start(viewers.clone(), door, all.clone()), door));
    let agree = async |what: &str| -> Result<()> {
        for (follower, _) in &followers {
            follower.agrees(what, &viewers[1]).await?;
        }
        Ok(())
    };
    agree("the snapshot").await?;
    first.terminate().await?;
    for (follower, door) in &followers {
        assert_eq!(follower.picture().ends, ["draining"], "{door:?}");
    }
    operator.put(&replicas(&namespace, "web"), &json!({"replicas": 2})).await?;
    // Only a leader makes the count arrive.
    poll::eventually("the write to arrive", async || {
        let view = operator.get(&replicas(&namespace, "web")).await?.json();
        Ok((view["spec"]["replicas"] == 2).then_some(()))
    })
    .await?;
    agree("the picture at the other gateway").await?;
    second.terminate().await
}

#[tokio::test]
async fn streams_end_with_the_policies_that_they_began_with() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("streams").await?;
    deployment(&namespace, "web").replicas(1).create(&suite.kube().await?).await?;
    let policies = suite.directory("streams-swapped")?;
    copy("normal", &policies)?;
    let mut options = suite.options("streams-swapped");
    options.policies.clone_from(&policies);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    suite::wait_seen(&viewer, &namespace, "web").await?;
    let all = Followed::namespace(&namespace);
    let followers = Door::ALL.map(|door| (Follower::start(vec![viewer.clone()], door, all.clone()), door));
    for (follower, _) in &followers {
        follower.agrees("the snapshot", &viewer).await?;
    }
    copy("freeze", &policies)?;
    for (follower, door) in &followers {
        poll::eventually("the end of a stream", async || Ok((!follower.picture().ends.is_empty()).then_some(())))
            .await?;
        assert_eq!(follower.picture().ends, ["policy_changed"], "{door:?}");
        follower.agrees("the snapshot of the next", &viewer).await?;
    }
    assert!(gateway.metric("scalegate_streams_ended_total{reason=\"policy_changed\"}").await? >= 3.0);
    gateway.terminate().await
}

#[tokio::test]
async fn an_outage_of_the_api_server_ends_no_stream_and_is_seen_by_its_age() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("streams").await?;
    deployment(&namespace, "web").replicas(1).create(&suite.kube().await?).await?;
    let gateway = suite.start(&suite.options("streams-outage")).await?;
    let (viewer, operator) = (gateway.client("viewer")?, gateway.client("operator")?);
    suite::wait_seen(&viewer, &namespace, "web").await?;
    let all = Followed::namespace(&namespace);
    let followers = Door::ALL.map(|door| (Follower::start(vec![viewer.clone()], door, all.clone()), door));
    for (follower, _) in &followers {
        follower.agrees("the snapshot", &viewer).await?;
    }
    plane.stop_api_server().await?;
    for (follower, _) in &followers {
        poll::eventually("an age", async || Ok(follower.picture().age.filter(|age| *age > 1.0))).await?;
    }
    plane.start_api_server().await?;
    poll::eventually("writes again", async || {
        let write = operator.put(&replicas(&namespace, "web"), &json!({"replicas": 2})).await?;
        Ok((write.status == 202).then_some(()))
    })
    .await?;
    poll::eventually("the write to arrive", async || {
        let view = viewer.get(&replicas(&namespace, "web")).await?.json();
        Ok((view["spec"]["replicas"] == 2).then_some(()))
    })
    .await?;
    for (follower, door) in &followers {
        follower.agrees("what the write did", &viewer).await?;
        assert_eq!(follower.picture().streams, 1, "{door:?}: it began again");
    }
    gateway.terminate().await
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_each_gives_its_place_back() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("streams").await?;
    let mut options = suite.options("streams-bounded");
    options.max_streams = Some(16);
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    let all = Followed::namespace(&namespace);
    let mut open = Vec::new();
    let refused = loop {
        match viewer.stream(Door::Http1, &all).await {
            Ok(stream) => open.push(stream),
            Err(error) => break error.to_string(),
        }
        assert!(open.len() <= 8, "more than half of all");
    };
    assert!(refused.contains("429") && refused.contains("too_many_requests"), "{refused}");
    let other = gateway.client("operator")?.stream(Door::Http2, &all).await?;
    assert!(gateway.metric("scalegate_streams").await? > 1.0);
    drop((open, other));
    poll::eventually("their places", async || {
        let again = viewer.stream(Door::Http1, &all).await.is_ok();
        Ok(again.then_some(()))
    })
    .await?;
    tokio::time::timeout(Duration::from_mins(1), gateway.terminate()).await?
}
