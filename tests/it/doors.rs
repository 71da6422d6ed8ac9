//! One table of questions through both doors: the same outcome, code and reasons, and the same in the cluster.

mod alone;
mod ask;
mod outcome;
mod table;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use http::Method;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::{ListParams, PostParams};
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::client::{Answer, Client};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::policies::Deciding;
use scalegate_tests::poll;
use scalegate_tests::suite::{self, Shared};
use serde_json::{Value, json};

use self::ask::{Ask, GrpcRequest, Known};
use self::outcome::Outcome;

/// A way in, with a namespace to ask about.
struct Door<'a> {
    suite: &'a Shared,
    known: Known,
    is_grpc: bool,
}

impl<'a> Door<'a> {
    async fn open(suite: &'a Shared, name: &str, is_grpc: bool) -> Result<Self> {
        let namespace = suite.namespace(name).await?;
        prepare(suite, &namespace).await?;
        Ok(Self { suite, known: Known { namespace, ..Known::default() }, is_grpc })
    }

    /// What comes of `ask`, and the status of the protocol itself.
    async fn ask(&mut self, who: &str, ask: &Ask) -> Result<(Outcome, i32)> {
        let client = self.suite.client(who)?;
        if self.is_grpc {
            let answer = call(&client, ask.as_grpc(&self.known)).await?;
            let outcome = Outcome::of_grpc(ask, &answer, &mut self.known)?;
            return Ok((outcome, code(&answer)?));
        }
        let request = ask.as_http(&self.known);
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut connection = client.http2().await?;
        let answer = connection.request(request.method, &request.path, &headers, request.body).await?;
        Ok((Outcome::of_http(&answer, &mut self.known), answer.status.into()))
    }

    /// The targets in the namespace, as far as clients wrote them.
    async fn targets(&self) -> Result<Vec<Value>> {
        let targets: Api<ReplicaTarget> = Api::namespaced(self.suite.kube().await?, &self.known.namespace);
        let all = targets.list(&ListParams::default()).await?.items;
        let written = |target: &ReplicaTarget| {
            let spec = &target.spec;
            json!([target.metadata.name, spec.replicas, spec.requested_by, spec.reason, spec.decision_id.is_some()])
        };
        Ok(all.iter().map(written).collect())
    }

    /// Waits until the reconciler has done what the row before asked for.
    async fn settle(&self) -> Result<()> {
        let viewer = self.suite.client("viewer")?;
        let path = suite::replicas(&self.known.namespace, "web");
        poll::eventually("web to be as it was set", async || {
            let view = viewer.get(&path).await?.json();
            let is_ready = view["progress"]["ready"] == true;
            let pods = [&view["status"]["updatedReplicas"], &view["status"]["availableReplicas"]];
            Ok((is_ready && pods.iter().all(|count| **count == view["spec"]["replicas"])).then_some(()))
        })
        .await
    }
}

/// Deployments `web`, with limits, and `auto`, which an autoscaler drives.
async fn prepare(suite: &Shared, namespace: &str) -> Result<()> {
    let kube = suite.kube().await?;
    let web = deployment(namespace, "web").replicas(3).label("app", "web");
    web.annotation("scalegate.dev/min-replicas", "2")
        .annotation("scalegate.dev/max-replicas", "10")
        .create(&kube)
        .await?;
    deployment(namespace, "auto").replicas(2).create(&kube).await?;
    let autoscaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "auto"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "auto"}, "minReplicas": 2, "maxReplicas": 8},
    }))?;
    Api::namespaced(kube, namespace).create(&PostParams::default(), &autoscaler).await?;
    let viewer = suite.client("viewer")?;
    suite::wait_ready(&viewer, namespace, "web", 3).await?;
    suite::wait_ready(&viewer, namespace, "auto", 2).await?;
    let path = suite::replicas(namespace, "auto");
    poll::eventually("the autoscaler to be seen", async || {
        Ok((viewer.get(&path).await?.json()["owner"]["kind"] == "HorizontalPodAutoscaler").then_some(()))
    })
    .await
}

/// A call as it goes over the wire.
async fn call(client: &Client, request: GrpcRequest) -> Result<Answer> {
    let path = format!("/scalegate.v1.ReplicaService/{}", request.method);
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let answer = client.http2().await?.request(Method::POST, &path, &headers, request.message).await?;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/grpc"), "{}", request.method);
    assert!(!answer.header("x-request-id").is_empty());
    Ok(answer)
}

/// The code of gRPC.
fn code(answer: &Answer) -> Result<i32> {
    let status = answer.trailers.get("grpc-status").or_else(|| answer.headers.get("grpc-status"));
    Ok(status.context("no grpc-status")?.to_str()?.parse()?)
}

#[test]
fn every_method_that_answers_once_is_in_the_table() -> Result<()> {
    let descriptors: FileDescriptorSet = prost::Message::decode(scalegate::proto::DESCRIPTORS)?;
    let services =
        descriptors.file.iter().filter(|file| file.package() == "scalegate.v1").flat_map(|file| &file.service);
    let methods = services.flat_map(|service| &service.method).filter(|method| !method.server_streaming());
    let methods: BTreeSet<_> = methods.map(MethodDescriptorProto::name).collect();
    let known = Known::default();
    let asked: BTreeSet<_> = table::rows().iter().map(|row| row.ask.as_grpc(&known).method).collect();
    assert_eq!(asked, methods);
    Ok(())
}

#[tokio::test]
async fn every_question_has_the_same_outcome_at_both_doors() -> Result<()> {
    both_doors(Deciding::Inline).await
}

#[tokio::test]
async fn every_question_has_the_same_outcome_at_both_doors_when_it_is_decided_in_a_slot() -> Result<()> {
    both_doors(Deciding::Pooled).await
}

async fn both_doors(deciding: Deciding) -> Result<()> {
    let suite = suite::shared_deciding(deciding).await?;
    let mut http = Door::open(&suite, "http", false).await?;
    let mut grpc = Door::open(&suite, "grpc", true).await?;
    for (index, row) in table::rows().iter().enumerate() {
        let line = format!("row {index}, {}: {:?}", row.who, row.ask);
        let (by_http, status) = http.ask(row.who, &row.ask).await.with_context(|| line.clone())?;
        let (by_grpc, code) = grpc.ask(row.who, &row.ask).await.with_context(|| line.clone())?;
        assert_eq!((by_http.code.as_str(), status, code), row.want, "{line}: {by_http:?}, {by_grpc:?}");
        assert_eq!(by_http, by_grpc, "{line}");
        assert_eq!(by_http.code == "refused", !by_http.reasons.is_empty(), "{line}: {by_http:?}");
        assert_eq!(http.targets().await?, grpc.targets().await?, "{line}");
        http.settle().await?;
        grpc.settle().await?;
    }
    Ok(())
}
