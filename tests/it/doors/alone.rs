//! What can be said at one door only, and why.

use anyhow::{Context, Result};
use prost_types::{Duration, Timestamp};
use scalegate::proto::v1::{
    GetReplicasRequest, ListReplicasRequest, ReleaseReplicasRequest, SetReplicasRequest, Workload,
};
use scalegate_tests::suite;
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
    let key = || "once".to_owned();
    let release = |idempotency_key| ReleaseReplicasRequest {
        workload: workload(),
        idempotency_key,
        ..ReleaseReplicasRequest::default()
    };
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
        ("a key", sets(SetReplicasRequest { idempotency_key: key(), ..set() }), unserved, "not_implemented"),
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
        ("a key of a release", GrpcRequest::new("ReleaseReplicas", &release(key())), unserved, "not_implemented"),
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
    let targets: kube::Api<scalegate::resource::ReplicaTarget> = kube::Api::namespaced(suite.kube().await?, &namespace);
    assert_eq!(targets.list(&kube::api::ListParams::default()).await?.items.len(), 0);
    Ok(())
}
