//! Streams of changes: what a client follows is what a list shows, whatever happens in between.

mod ends;
mod unread;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use scalegate_tests::client::Client;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::follow::{Door, Event, Followed, Follower};
use scalegate_tests::poll;
use scalegate_tests::suite::{self, replicas};
use serde_json::{Value, json};

use crate::modules::{VERDICT, compiled, entry, write_set};

async fn relabel(deployments: &Api<Deployment>, name: &str, tier: &str) -> Result<()> {
    let patch = json!({"metadata": {"labels": {"tier": tier}}});
    deployments.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[tokio::test]
async fn a_stream_shows_what_a_list_shows_through_every_kind_of_change() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("streams").await?;
    let kube = suite.kube().await?;
    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), &namespace);
    for name in ["web", "api", "worker"] {
        deployment(&namespace, name).replicas(2).label("tier", "front").create(&kube).await?;
    }
    let (viewer, operator) = (suite.client("viewer")?, suite.client("operator")?);
    suite.wait_ready(&viewer, &namespace, "worker", 2).await?;
    let all = Followed::namespace(&namespace);
    let selected = Followed { selector: Some("tier=front".to_owned()), ..all.clone() };
    let followers: Vec<_> = Door::ALL
        .into_iter()
        .flat_map(|door| [(door, all.clone()), (door, selected.clone())])
        .map(|(door, of)| (Follower::start(vec![viewer.clone()], door, of), door))
        .collect();
    let agree = async |what: &str| -> Result<()> {
        for (follower, _) in &followers {
            follower.agrees(what, &viewer).await?;
        }
        Ok(())
    };
    agree("the snapshot").await?;
    operator.put(&replicas(&namespace, "web"), &json!({"replicas": 4})).await?;
    suite.wait_ready(&viewer, &namespace, "web", 4).await?;
    agree("a set").await?;
    relabel(&deployments, "api", "back").await?;
    agree("a Deployment that is no longer selected").await?;
    relabel(&deployments, "api", "front").await?;
    agree("one that is selected again").await?;
    deployments.delete("worker", &DeleteParams::default()).await?;
    agree("one that is gone").await?;
    deployment(&namespace, "new").replicas(1).label("tier", "front").create(&kube).await?;
    agree("a new one").await?;
    operator.delete(&replicas(&namespace, "web")).await?;
    agree("a release").await?;
    for (follower, door) in &followers {
        assert_eq!(follower.picture().streams, 1, "{door:?}: it began again");
    }
    Ok(())
}

#[tokio::test]
async fn one_deployment_is_followed_until_it_is_gone_and_when_it_comes_back() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("streams").await?;
    let kube = suite.kube().await?;
    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), &namespace);
    deployment(&namespace, "web").replicas(1).create(&kube).await?;
    deployment(&namespace, "other").replicas(1).create(&kube).await?;
    let viewer = suite.client("viewer")?;
    suite.wait_ready(&viewer, &namespace, "web", 1).await?;
    let web = Followed { name: Some("web".to_owned()), ..Followed::namespace(&namespace) };
    let followers = Door::ALL.map(|door| Follower::start(vec![viewer.clone()], door, web.clone()));
    let known = async |what: &str, wanted: bool| -> Result<()> {
        for follower in &followers {
            poll::eventually(what, async || {
                let picture = follower.picture();
                let names: Vec<_> = picture.items.keys().cloned().collect();
                let right = if wanted { names == [format!("{namespace}/web")] } else { names.is_empty() };
                Ok((picture.is_synced && right).then_some(()))
            })
            .await?;
        }
        Ok(())
    };
    known("the Deployment", true).await?;
    deployments.delete("web", &DeleteParams::default()).await?;
    known("that it is gone", false).await?;
    deployment(&namespace, "web").replicas(2).create(&kube).await?;
    known("that it is back", true).await
}

#[tokio::test]
async fn what_a_client_may_not_get_is_in_no_stream_and_opens_none() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("streams").await?;
    deployment(&namespace, "web").replicas(1).create(&suite.kube().await?).await?;
    let (viewer, stranger) = (suite.client("viewer")?, suite.client("stranger")?);
    suite.wait_ready(&viewer, &namespace, "web", 1).await?;
    let get = async |client: &Client, path: &str| -> Result<(u16, String)> {
        let answer = client.get(path).await?;
        Ok((answer.status, answer.code()))
    };
    let list = format!("/v1/namespaces/{namespace}/deployments?watch=true");
    for (client, path, status, code) in [
        (&stranger, format!("{}?watch=true", replicas(&namespace, "web")), 403, "refused"),
        (&stranger, format!("{}?watch=true", replicas(&namespace, "none")), 403, "refused"),
        (&viewer, format!("{}?watch=true", replicas(&namespace, "none")), 404, "deployment_not_found"),
        (&viewer, format!("{list}&limit=5"), 400, "invalid_parameter"),
        (&viewer, format!("{list}&continue=x"), 400, "invalid_parameter"),
        (&viewer, format!("{list}&labelSelector=~"), 400, "invalid_parameter"),
        (&viewer, "/v1/policies?watch=true".to_owned(), 400, "invalid_parameter"),
        (&viewer, format!("{}?watch=1", replicas(&namespace, "web")), 400, "invalid_parameter"),
        (&viewer, format!("{}?watch=true&atLeastVersion=x", replicas(&namespace, "web")), 400, "invalid_parameter"),
    ] {
        assert_eq!(get(client, &path).await?, (status, code.to_owned()), "{path}");
    }
    for door in Door::ALL {
        let follower = Follower::start(vec![stranger.clone()], door, Followed::namespace(&namespace));
        poll::eventually("an empty snapshot", async || Ok(follower.picture().is_synced.then_some(()))).await?;
        assert_eq!(follower.picture().items, BTreeMap::new());
    }
    Ok(())
}

/// Allows what has the label `open`.
const OPEN: &str = "verdict := {\"allow\": allow, \"reasons\": [\"it is not open\" | not allow], \"tags\": {}}\n\n\
                    default allow := false\n\nallow if input.target.labels.tier == \"open\"";

#[tokio::test]
async fn each_change_is_decided_anew_and_a_changed_verdict_is_on_record() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("streams").await?;
    let kube = suite.kube().await?;
    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), &namespace);
    deployment(&namespace, "web").replicas(1).label("tier", "open").create(&kube).await?;
    let policies = suite.directory("streams-policies")?;
    let module = compiled(OPEN, VERDICT)?;
    write_set(&policies, &json!({"modules": [entry("open", &module)]}).to_string(), &[("open.wasm".into(), module)])?;
    let mut options = suite.options("streams");
    options.policies = policies;
    let gateway = suite.start(&options).await?;
    let viewer = gateway.client("viewer")?;
    suite::wait_ready(&viewer, &namespace, "web", 1).await?;
    let follower = Follower::start(vec![viewer.clone()], Door::Http2, Followed::namespace(&namespace));
    let shown = async |what: &str, wanted: usize| {
        poll::eventually(what, async || {
            let picture = follower.picture();
            Ok((picture.is_synced && picture.items.len() == wanted).then_some(()))
        })
        .await
    };
    shown("what is allowed", 1).await?;
    relabel(&deployments, "web", "closed").await?;
    shown("that it is refused", 0).await?;
    relabel(&deployments, "web", "open").await?;
    shown("that it is allowed again", 1).await?;
    drop(follower);
    let events = poll::eventually("the record of the stream's end", async || {
        let records = gateway.records();
        let of_stream = records.iter().filter(|record| record["kind"] == "stream");
        let events: Vec<Value> = of_stream.map(|record| record["event"].clone()).collect();
        Ok((events.last() == Some(&json!({"ended": "closed"}))).then_some(events))
    })
    .await?;
    let web = json!({"namespace": namespace, "name": "web"});
    assert_eq!(events, [json!("opened"), json!({"refused": web}), json!({"allowed": web}), json!({"ended": "closed"})]);
    gateway.terminate().await
}

#[tokio::test]
async fn a_stream_that_nothing_happens_on_shows_signs_of_life() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("streams").await?;
    let viewer = suite.client("viewer")?;
    for door in [Door::Http1, Door::Grpc] {
        let mut events = viewer.follow(door, &Followed::namespace(&namespace)).await?;
        let mut next = async || futures::StreamExt::next(&mut events).await.context("the stream has ended")?;
        assert_eq!(next().await?, Event::Synced);
        assert!(matches!(next().await?, Event::Heartbeat(_)));
    }
    Ok(())
}
