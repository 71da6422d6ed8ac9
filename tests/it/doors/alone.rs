//! What can be said at one door only, and why.

use anyhow::{Context, Result};
use http::Method;
use kube::Api;
use kube::api::ListParams;
use prost_types::{Duration, Timestamp};
use scalegate::proto::v1::{GetReplicasRequest, ListReplicasRequest, SetReplicasRequest, Workload};
use scalegate::resource::ReplicaTarget;
use scalegate_tests::suite::{self, Shared};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::ask::GrpcRequest;
use super::{call, prepare};

/// Rows of HTTP that no message can say, and where they are tested.
///
/// | said to HTTP | why not to gRPC | tested in |
/// |---|---|---|
/// | `1.5`, `"3"`, `2147483648`, a reason that is no text | the message has types | `bad_input.rs` |
/// | an unknown field or parameter (`replica`, `for`, `?wait=`) | proto3 ignores it; those of the contract are below | `bad_input.rs` |
/// | another content type, a body to GET or DELETE, `Expect` | it chooses the door; each method has its message | `bad_input.rs` |
/// | a path that is no route, a wrong method | there are methods only, below | `bad_input.rs` |
/// | `If-None-Match`, `Host` twice | headers that nobody sends over gRPC | `bad_input.rs` |
/// | `?limit=0` | an absent number is 0 | `bad_input.rs` |
///
/// And what HTTP cannot say:
fn rows(namespace: &str) -> Vec<(&'static str, GrpcRequest, Code, &'static str)> {
    let workload = || Some(Workload { kind: String::new(), namespace: namespace.to_owned(), name: "web".into() });
    let set = || SetReplicasRequest { workload: workload(), replicas: Some(4), ..SetReplicasRequest::default() };
    let of_kind = |kind: &str| GetReplicasRequest {
        workload: workload().map(|named| Workload { kind: kind.to_owned(), ..named }),
        at_least_version: String::new(),
    };
    let (unserved, invalid) = (Code::Unimplemented, Code::InvalidArgument);
    let sets = |message: SetReplicasRequest| GrpcRequest::new("SetReplicas", &message);
    vec![
        ("no workload", sets(SetReplicasRequest { workload: None, ..set() }), invalid, "invalid_name"),
        (
            "an empty name",
            sets(SetReplicasRequest { workload: Some(Workload::default()), ..set() }),
            invalid,
            "invalid_name",
        ),
        (
            "a duration",
            sets(SetReplicasRequest { duration: Some(Duration::default()), ..set() }),
            unserved,
            "not_implemented",
        ),
        (
            "a start",
            sets(SetReplicasRequest { start_time: Some(Timestamp::default()), ..set() }),
            unserved,
            "not_implemented",
        ),
        ("another kind", GrpcRequest::new("GetReplicas", &of_kind("StatefulSet")), invalid, "invalid_name"),
        ("a kind in lower case", GrpcRequest::new("GetReplicas", &of_kind("deployment")), invalid, "invalid_name"),
        (
            "another kind in a list",
            GrpcRequest::new(
                "ListReplicas",
                &ListReplicasRequest { kind: "Pod".into(), ..ListReplicasRequest::default() },
            ),
            invalid,
            "invalid_name",
        ),
        ("an unknown method", GrpcRequest::new("ScaleReplicas", &of_kind("")), unserved, "no_such_route"),
        ("no method", GrpcRequest::new("", &of_kind("")), unserved, "no_such_route"),
        ("a named kind", GrpcRequest::new("GetReplicas", &of_kind("Deployment")), Code::Ok, "ok"),
    ]
}

#[tokio::test]
async fn what_messages_alone_can_say_has_a_code_of_its_own() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("messages").await?;
    prepare(&suite, &namespace).await?;
    let operator = suite.client("operator")?;
    for (what, request, code, stable) in rows(&namespace) {
        let answer = call(&operator, request).await?;
        let headers = if code == Code::Ok { &answer.trailers } else { &answer.headers };
        let status = Status::from_header_map(headers).with_context(|| format!("{what}: no status"))?;
        let reason = status.get_error_details().error_info().map_or("ok".to_owned(), |info| info.reason.clone());
        assert_eq!((status.code(), reason.as_str()), (code, stable), "{what}: {status:?}");
    }
    assert_eq!(written(&suite, &namespace).await?, 0);
    Ok(())
}

/// A message that sets `replicas` of web.
fn set(namespace: &str, replicas: i32) -> GrpcRequest {
    let workload = Some(Workload { kind: String::new(), namespace: namespace.to_owned(), name: "web".into() });
    let message = SetReplicasRequest { workload, replicas: Some(replicas), ..SetReplicasRequest::default() };
    GrpcRequest::new("SetReplicas", &message)
}

#[tokio::test]
async fn what_is_nearly_grpc_is_told_by_http_what_to_change() -> Result<()> {
    let suite = suite::shared().await?;
    let operator = suite.client("operator")?;
    let path = "/scalegate.v1.ReplicaService/SetReplicas";
    let message = set("default", 4).message;
    for (protocol, method, content_type, status, code) in [
        (1, Method::POST, "application/grpc", 505, "http2_required"),
        (1, Method::POST, "application/grpc+proto", 505, "http2_required"),
        (2, Method::POST, "application/grpc-web+proto", 415, "unsupported_media_type"),
        (2, Method::POST, "application/grpc+json", 415, "unsupported_media_type"),
        (2, Method::GET, "application/grpc", 405, "method_not_allowed"),
    ] {
        let mut connection = if protocol == 1 { operator.http1().await? } else { operator.http2().await? };
        let answer = connection.request(method, path, &[("content-type", content_type)], message.clone()).await?;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{content_type} over HTTP/{protocol}");
    }
    Ok(())
}

#[tokio::test]
async fn headers_that_cannot_be_kept_refuse_a_call_and_nothing_is_written() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("headers").await?;
    prepare(&suite, &namespace).await?;
    let operator = suite.client("operator")?;
    for (header, code, stable) in [
        (("grpc-timeout", "1n"), Code::DeadlineExceeded, "request_timeout"),
        (("grpc-timeout", "0S"), Code::DeadlineExceeded, "request_timeout"),
        (("grpc-timeout", "1"), Code::InvalidArgument, "invalid_parameter"),
        (("grpc-timeout", "soon"), Code::InvalidArgument, "invalid_parameter"),
        (("grpc-encoding", "gzip"), Code::Unimplemented, "not_implemented"),
    ] {
        let headers = [("content-type", "application/grpc"), header];
        let (path, message) = ("/scalegate.v1.ReplicaService/SetReplicas", set(&namespace, 4).message);
        let answer = operator.http2().await?.request(Method::POST, path, &headers, message).await?;
        let status = Status::from_header_map(&answer.headers).with_context(|| format!("{header:?}: no status"))?;
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        assert_eq!((status.code(), reason.as_deref()), (code, Some(stable)), "{header:?}");
        assert_eq!(answer.headers.contains_key("grpc-accept-encoding"), header.0 == "grpc-encoding");
    }
    assert_eq!(written(&suite, &namespace).await?, 0);
    Ok(())
}

/// How many targets there are.
async fn written(suite: &Shared, namespace: &str) -> Result<usize> {
    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, namespace);
    Ok(targets.list(&ListParams::default()).await?.items.len())
}
