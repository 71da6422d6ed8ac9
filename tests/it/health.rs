//! `grpc.health.v1` and reflection, through an outage of the API server and a drain.

use anyhow::{Context, Result, ensure};
use scalegate::proto::v1::{SetReplicasRequest, Workload};
use scalegate_tests::controlplane::Paused;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::gateway::{Gateway, read_log};
use scalegate_tests::poll;
use scalegate_tests::suite;
use tonic::{Code, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::{v1, v1alpha};

/// All services that are there.
const SERVICES: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "scalegate.v1.ReplicaService"];

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// The status of a service, as `Check` tells it.
async fn check(gateway: &Gateway, service: &str) -> Result<i32> {
    let mut health = gateway.client("stranger")?.health_service().await?;
    Ok(health.check(about(service)).await?.into_inner().status)
}

/// The first change that a stream tells; the test's patience bounds the wait.
async fn next(stream: &mut Streaming<HealthCheckResponse>) -> Result<Option<i32>> {
    let next = tokio::time::timeout(std::time::Duration::from_secs(90), stream.message()).await;
    Ok(next.context("waited in vain for a change")??.map(|answer| answer.status))
}

const SERVING: i32 = ServingStatus::Serving as i32;
const NOT_SERVING: i32 = ServingStatus::NotServing as i32;
const UNKNOWN: i32 = 3;

#[tokio::test]
async fn health_tells_an_outage_and_a_drain_and_calls_in_flight_finish() -> Result<()> {
    let suite = suite::exclusive().await?;
    let Some(plane) = suite.own_control_plane() else { return Ok(()) };
    let namespace = suite.namespace("health").await?;
    deployment(&namespace, "web").replicas(2).create(&suite.kube().await?).await?;
    let gateway = suite.start(&suite.options("health")).await?;
    let operator = gateway.client("operator")?;
    suite::wait_ready(&operator, &namespace, "web", 2).await?;
    let mut health = operator.health_service().await?;

    for service in ["", "scalegate.v1.ReplicaService", "kubernetes"] {
        assert_eq!(check(&gateway, service).await?, SERVING, "{service:?}");
    }
    let unknown = health.check(about("demo")).await;
    assert_eq!(unknown.map_err(|status| status.code()).err(), Some(Code::NotFound));
    let mut nobody = health.watch(about("demo")).await?.into_inner();
    assert_eq!(next(&mut nobody).await?, Some(UNKNOWN));
    let mut contact = health.watch(about("kubernetes")).await?.into_inner();
    assert_eq!(next(&mut contact).await?, Some(SERVING));

    plane.stop_api_server().await?;
    assert_eq!(next(&mut contact).await?, Some(NOT_SERVING));
    assert_eq!(check(&gateway, "kubernetes").await?, NOT_SERVING);
    assert_eq!(check(&gateway, "").await?, SERVING, "reads go on");
    plane.start_api_server().await?;
    assert_eq!(next(&mut contact).await?, Some(SERVING));

    // A drain, with a call in flight.
    let mut serving = health.watch(about("")).await?.into_inner();
    assert_eq!(next(&mut serving).await?, Some(SERVING));
    let paused = Paused::api_server(plane).await?;
    let mut service = operator.replica_service().await?;
    let workload = Workload { kind: String::new(), namespace, name: "web".into() };
    let set = SetReplicasRequest { workload: Some(workload), replicas: Some(3), ..SetReplicasRequest::default() };
    let in_flight = tokio::spawn(async move { service.set_replicas(set).await });
    let log = gateway.log_path().to_owned();
    poll::eventually("the write to begin", async || {
        Ok(read_log(&log).iter().any(|line| line["message"] == "write begun").then_some(()))
    })
    .await?;
    let ended = tokio::spawn(gateway.terminate());
    assert_eq!(next(&mut serving).await?, Some(NOT_SERVING));
    assert_eq!(next(&mut serving).await?, None, "a watch ends, so that it does not hold up the drain");
    drop(paused);
    let answer = in_flight.await??.into_inner();
    assert_eq!(answer.replicas.and_then(|replicas| replicas.target).map(|target| target.replicas), Some(3));
    ended.await?
}

#[tokio::test]
async fn reflection_shows_the_services_to_old_and_new_clients() -> Result<()> {
    let suite = suite::shared().await?;
    let client = suite.client("stranger")?;
    let origin = || http::Uri::from_static("https://localhost");

    let list = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut new = v1::server_reflection_client::ServerReflectionClient::with_origin(client.channel().await?, origin());
    let mut answers = new.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
    let answer = answers.message().await?.and_then(|answer| answer.message_response).context("no answer")?;
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        anyhow::bail!("another answer: {answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    ensure!(SERVICES.iter().all(|service| names.contains(service)), "{names:?}");

    let symbol =
        v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol("scalegate.v1.Replicas".into());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
    let mut old =
        v1alpha::server_reflection_client::ServerReflectionClient::with_origin(client.channel().await?, origin());
    let mut answers = old.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
    let answer = answers.message().await?.and_then(|answer| answer.message_response).context("no answer")?;
    let v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files) = answer else {
        anyhow::bail!("another answer: {answer:?}");
    };
    assert!(!files.file_descriptor_proto.is_empty());
    Ok(())
}
