//! What the gateway needs and does not have: an API server when it starts, and the etcd behind it.

use anyhow::{Context, Result};
use http::Method;
use scalegate::proto::v1::{
    GetReplicasRequest, ListChangesRequest, ListReplicasRequest, ReleaseReplicasRequest, SetReplicasRequest,
    WatchReplicasRequest, Workload,
};
use scalegate_tests::client::{Answer, Client};
use scalegate_tests::controlplane::Paused;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::Gateway;
use scalegate_tests::poll;
use scalegate_tests::suite;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::leadership::leads;

#[tokio::test]
async fn a_gateway_that_starts_without_an_api_server_is_not_ready_until_it_is_there() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let options = suite.options("early");
    plane.stop_api_server().await?;
    let gateway = suite.launch(&options).await?;
    let (ready, why) = gateway.admin("/readyz").await?;
    assert_eq!((ready, why.contains("cache: not ok")), (503, true), "{why}");
    assert_eq!((gateway.admin("/startupz").await?.0, gateway.admin("/livez").await?.0), (503, 200));
    plane.start_api_server().await?;
    poll::eventually("the gateway to be ready", async || Ok((gateway.admin("/readyz").await?.0 == 200).then_some(())))
        .await?;
    gateway.terminate().await
}

/// Each request over HTTP about a Deployment that is there, one that is not, and lists, with its answer.
async fn asked_over_http(client: &Client, namespace: &str) -> Result<Vec<(String, Answer)>> {
    let mut requests = vec![
        (Method::GET, "/v1/deployments".to_owned()),
        (Method::GET, "/v1/deployments?watch=true".to_owned()),
        (Method::GET, format!("/v1/namespaces/{namespace}/deployments")),
    ];
    for name in ["web", "none"] {
        let path = suite::replicas(namespace, name);
        for (method, query) in [
            (Method::GET, ""),
            (Method::GET, "?watch=true"),
            (Method::GET, "/history"),
            (Method::PUT, ""),
            (Method::PUT, "?dryRun=true"),
            (Method::DELETE, ""),
            (Method::DELETE, "?dryRun=true"),
        ] {
            requests.push((method, format!("{path}{query}")));
        }
    }
    let mut answers = Vec::new();
    for (method, path) in requests {
        let answer = if method == Method::PUT {
            client.put(&path, &json!({"replicas": 3})).await?
        } else {
            client.request(method.clone(), &path, &[], Vec::new()).await?
        };
        answers.push((format!("{method} {path}"), answer));
    }
    Ok(answers)
}

/// The same over gRPC, with the status of what was refused.
async fn asked_over_grpc(client: &Client, namespace: &str) -> Result<Vec<(&'static str, Option<Status>)>> {
    let mut service = client.replica_service().await?;
    let workload = || Some(Workload { kind: String::new(), namespace: namespace.to_owned(), name: "web".to_owned() });
    let get = GetReplicasRequest { workload: workload(), ..GetReplicasRequest::default() };
    let changes = ListChangesRequest { workload: workload() };
    let watch = WatchReplicasRequest { workload: workload(), ..WatchReplicasRequest::default() };
    let mut answers = vec![
        ("get", service.get_replicas(get).await.err()),
        ("list", service.list_replicas(ListReplicasRequest::default()).await.err()),
        ("changes", service.list_changes(changes).await.err()),
        ("watch", service.watch_replicas(watch).await.err()),
        ("watch all", service.watch_replicas(WatchReplicasRequest::default()).await.err()),
    ];
    for dry_run in [false, true] {
        let set =
            SetReplicasRequest { workload: workload(), replicas: Some(3), dry_run, ..SetReplicasRequest::default() };
        answers.push(("set", service.set_replicas(set).await.err()));
        let release = ReleaseReplicasRequest { workload: workload(), dry_run, ..ReleaseReplicasRequest::default() };
        answers.push(("release", service.release_replicas(release).await.err()));
    }
    Ok(answers)
}

/// The kinds of the records about decisions so far.
fn decisions(gateway: &Gateway) -> Vec<String> {
    let kinds = gateway.records().into_iter().map(|record| record["kind"].as_str().unwrap_or_default().to_owned());
    kinds.filter(|kind| ["decision", "list", "stream", "outcome"].contains(&kind.as_str())).collect()
}

#[tokio::test]
async fn a_gateway_that_has_not_read_the_cluster_decides_nothing_and_is_the_same_to_everyone() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("unread").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    plane.stop_api_server().await?;
    let gateway = suite.launch(&suite.options("unread")).await?;
    let (viewer, stranger) = (gateway.client("viewer")?, gateway.client("stranger")?);
    let (mut over_http, mut over_grpc) = (Vec::new(), Vec::new());
    for client in [&gateway.client("operator")?, &viewer, &stranger] {
        over_http.extend(asked_over_http(client, &namespace).await?);
        over_grpc.extend(asked_over_grpc(client, &namespace).await?);
    }
    plane.start_api_server().await?;

    for (request, answer) in over_http {
        let problem = answer.json();
        assert_eq!((answer.status, answer.code().as_str()), (503, "cache_stale"), "{request}: {problem}");
        assert_eq!((answer.header("retry-after"), &problem["decisionId"]), ("5", &json!(null)), "{request}");
        assert!(!answer.body.windows(3).any(|part| part == b"web"), "{request}: {problem}");
    }
    for (call, refused) in over_grpc {
        let status = refused.with_context(|| format!("{call} was answered"))?;
        let details = status.get_error_details();
        let code = details.error_info().map(|info| info.reason.as_str());
        assert_eq!((status.code(), code), (Code::Unavailable, Some("cache_stale")), "{call}: {status}");
        assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()), "{call}");
    }
    poll::eventually("the gateway to be ready", async || Ok((gateway.admin("/readyz").await?.0 == 200).then_some(())))
        .await?;
    let path = suite::replicas(&namespace, "web");
    assert_eq!(viewer.get(&path).await?.status, 200);
    assert_eq!(stranger.get(&path).await?.code(), "refused");
    // Records are in the order of decisions: had there been others before, they would be there too.
    let decided = poll::eventually("the records of two decisions", async || {
        let decided = decisions(&gateway);
        Ok((decided.len() >= 2).then_some(decided))
    })
    .await?;
    assert_eq!(decided, ["decision", "decision"]);
    gateway.terminate().await
}

#[tokio::test]
async fn an_outage_of_etcd_stops_writes_and_never_reads_and_is_seen_by_their_age() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("etcd").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let gateway = suite.start(&suite.options("etcd")).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 2).await?;
    poll::eventually("the gateway to lead", async || Ok(leads(&gateway).await?.then_some(()))).await?;
    let path = suite::replicas(&namespace, "web");

    let paused = Paused::etcd(plane).await?;
    // The API server's watches stay open: only calls that need etcd show that it is away.
    let outage = poll::eventually("writes to be refused for the age of what is known", async || {
        let read = operator.get(&path).await?;
        assert_eq!(read.status, 200, "{}", read.json());
        assert_eq!(gateway.admin("/readyz").await?.0, 200);
        let write = operator.put(&path, &json!({"replicas": 3})).await?;
        assert_eq!((write.status, write.header("retry-after")), (503, "5"), "{}", write.json());
        if write.code() == "kubernetes_unavailable" {
            return Ok(None);
        }
        assert_eq!(write.code(), "cache_stale", "{}", write.json());
        let age = gateway.metric("scalegate_cache_age_seconds{resource=\"deployments\"}").await?;
        Ok(Some((leads(&gateway).await?, operator.get("/healthz").await?.status, operator.get(&path).await?, age)))
    })
    .await;
    drop(paused);
    let (leading, health, read, age) = outage?;
    let told = read.json()["ageSeconds"].as_f64().context("no age")?;
    assert_eq!((leading, health, read.status), (false, 503, 200));
    assert!(age > 30.0 && told > 30.0, "the metric says {age} s, the read {told} s");
    poll::eventually("contact again", async || Ok((operator.get("/healthz").await?.status == 200).then_some(())))
        .await?;
    let fresh = operator.get(&path).await?.json();
    assert!(fresh["ageSeconds"].as_f64().context("no age")? < told, "{fresh}");
    let write = poll::eventually("writes again", async || {
        let write = operator.put(&path, &json!({"replicas": 4})).await?;
        Ok((write.status == 202).then_some(write))
    })
    .await?;
    write.json()["target"]["replicas"].as_i64().filter(|count| *count == 4).context("another count")?;
    poll::eventually("the write to arrive", async || {
        let view = operator.get(&path).await?.json();
        Ok((view["spec"]["replicas"] == 4).then_some(()))
    })
    .await?;
    gateway.terminate().await
}
