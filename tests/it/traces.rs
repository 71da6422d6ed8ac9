//! A trace that a client names is found again in the gateway's log and audit records, and its spans at a collector.

use anyhow::{Context, Result};
use http::Method;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use scalegate::proto::v1::{GetReplicasRequest, Workload};
use scalegate_tests::collector::Collector;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
use scalegate_tests::ports::ReservedPort;
use scalegate_tests::suite::{self, replicas};
use serde_json::Value;
use tonic::Request;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn the_trace_of_a_request_is_in_its_records_and_in_its_lines_of_the_log() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("traces").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let (operator, path) = (suite.client("operator")?, replicas(&namespace, "web"));
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let of_request = async |kind: &str, id: &str| -> Result<Value> {
        poll::eventually("the record", async || {
            let all = scalegate_tests::gateway::read_records(suite.gateway_log_path());
            Ok(all.into_iter().find(|record| record["kind"] == kind && record["requestId"] == id))
        })
        .await
    };

    let headers = [("content-type", "application/json"), ("traceparent", parent.as_str())];
    let set = operator.request(Method::PUT, &path, &headers, br#"{"replicas":4}"#.to_vec()).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    for kind in ["decision", "outcome"] {
        assert_eq!(of_request(kind, set.header("x-request-id")).await?["traceId"], TRACE, "{kind}");
    }
    let lines = suite.gateway_log();
    let begun = lines.iter().find(|line| line["span"]["request_id"] == set.header("x-request-id"));
    assert_eq!(begun.context("no line")?["span"]["trace_id"], TRACE);

    // A read that is decided, and one whose answer is known.
    for _ in 0..2 {
        let read = operator.request(Method::GET, &path, &headers[1..], Vec::new()).await?;
        assert_eq!(of_request("decision", read.header("x-request-id")).await?["traceId"], TRACE);
    }
    let wrong = operator.request(Method::GET, &path, &[("traceparent", TRACE)], Vec::new()).await?;
    assert_eq!(wrong.status, 200);
    assert_eq!(of_request("decision", wrong.header("x-request-id")).await?["traceId"], Value::Null);

    let workload = Workload { kind: String::new(), namespace, name: "web".to_owned() };
    let mut get = Request::new(GetReplicasRequest { workload: Some(workload), at_least_version: String::new() });
    get.metadata_mut().insert("traceparent", parent.parse()?);
    let answer = operator.replica_service().await?.get_replicas(get).await?;
    let id = answer.metadata().get("x-request-id").context("no id")?.to_str()?.to_owned();
    assert_eq!(of_request("decision", &id).await?["traceId"], TRACE);
    Ok(())
}

#[tokio::test]
async fn a_request_and_its_write_are_spans_of_the_trace_that_the_client_names() -> Result<()> {
    let suite = suite::exclusive().await?;
    let namespace = suite.namespace("spans").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    let collector = Collector::start().await?;
    let mut options = suite.options("spans");
    options.traces = Some(collector.endpoint.clone());
    let gateway = suite.start(&options).await?;
    suite::wait_seen(&gateway.client("viewer")?, &namespace, "web").await?;
    let (operator, path) = (gateway.client("operator")?, replicas(&namespace, "web"));
    let parent = |flags| format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
    let sampled = [("content-type", "application/json"), ("traceparent", &parent("01"))];
    let set = operator.request(Method::PUT, &path, &sampled, br#"{"replicas":4}"#.to_vec()).await?;
    assert_eq!(set.status, 202, "{}", set.json());
    let refused = operator.request(Method::PUT, &path, &sampled, br#"{"replicas":-1}"#.to_vec()).await?;
    assert_eq!(refused.status, 400);
    let unsampled = operator.request(Method::GET, &path, &[("traceparent", &parent("00"))], Vec::new()).await?;
    assert_eq!(unsampled.status, 200);
    let rootless = operator.get(&path).await?;
    assert_eq!(rootless.status, 200);
    // What was not sent yet is sent at the end.
    gateway.terminate().await?;

    let mut spans = collector.spans();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let attribute = |span: &Span, key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        format!("{:?}", found.and_then(|found| found.value.clone()).and_then(|value| value.value))
    };
    let of_request = |id: &str| spans.iter().find(|span| attribute(span, "scalegate.request_id").contains(id));
    let began = of_request(rootless.header("x-request-id")).context("no span of a request without a trace")?;
    let trace = u128::from_str_radix(TRACE, 16)?.to_be_bytes();
    assert!(began.parent_span_id.is_empty() && began.trace_id != trace, "it begins a trace");
    assert!(of_request(unsampled.header("x-request-id")).is_none(), "its trace is not sampled");

    let of_trace: Vec<_> = spans.iter().filter(|span| span.trace_id == trace).collect();
    let names: Vec<_> = of_trace.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["replicas.set", "write", "replicas.set"]);
    assert_eq!(of_trace[0].parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(of_trace[1].parent_span_id, of_trace[0].span_id, "the request causes the write");
    assert!(of_trace[1].end_time_unix_nano <= of_trace[0].end_time_unix_nano);
    assert_eq!((of_trace[0].kind(), of_trace[1].kind()), (SpanKind::Server, SpanKind::Client));
    assert!(attribute(of_trace[0], "scalegate.request_id").contains(set.header("x-request-id")));
    assert!(attribute(of_trace[0], "enduser.id").contains("operator"));
    assert!(attribute(of_trace[2], "scalegate.outcome").contains("invalid_replicas"));
    let resource = collector.received().remove(0).resource.context("no resource")?;
    assert!(format!("{:?}", resource.attributes).contains("service.name"));
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_no_request() -> Result<()> {
    let suite = suite::exclusive().await?;
    let mut options = suite.options("no-collector");
    options.traces = Some(format!("http://127.0.0.1:{}", ReservedPort::reserve()?.release()));
    let gateway = suite.start(&options).await?;
    let mut connection = gateway.client("operator")?.http1().await?;
    for _ in 0..5_000 {
        assert_eq!(connection.get("/v1/version").await?.status, 200);
    }
    poll::eventually("a line about it", async || {
        let about = |line: &Value| line["target"].as_str().is_some_and(|target| target.starts_with("opentelemetry"));
        Ok(gateway.log().iter().any(about).then_some(()))
    })
    .await?;
    gateway.terminate().await
}
