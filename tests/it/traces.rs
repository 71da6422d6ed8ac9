//! A trace that a client names is found again in the gateway's log and audit records.

use anyhow::{Context, Result};
use http::Method;
use scalegate::proto::v1::{GetReplicasRequest, Workload};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::poll;
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
