//! Errors as gRPC statuses, with the details of `google.rpc`.

use std::collections::HashMap;
use std::time::Duration;

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use crate::api::error::{Error, ErrorKind};
use crate::text::{MARK, cut};

/// The domain of the stable codes.
const DOMAIN: &str = "scalegate.dev";
/// The longest message, and the longest of all reasons together, in bytes, so that the details, which repeat the
/// message, stay below 4 KiB. Some clients take 8 KiB of trailers; the details go there in base64, the message
/// percent-encoded.
const MAX_MESSAGE: usize = 512;
const MAX_REASONS: usize = 2560;
/// What a violation takes beside its description.
const VIOLATION: usize = 16;

/// The status of `error`.
pub(super) fn of(error: &Error, request_id: &Uuid) -> Status {
    let ErrorKind { grpc, code, .. } = error.kind();
    let mut metadata = HashMap::from([("requestId".to_owned(), request_id.to_string())]);
    metadata.extend(error.decision().map(|decision| ("decisionId".to_owned(), decision.to_string())));
    let mut details = ErrorDetails::new();
    details.set_error_info(code, DOMAIN, metadata);
    if let Some(seconds) = error.retry_after() {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    match error {
        Error::Invalid { code, detail } => {
            details.add_bad_request_violation(field(code), cut(detail, MAX_REASONS).into_owned());
        }
        Error::Refused { reasons, .. } => {
            for reason in cut_all(reasons) {
                details.add_precondition_failure_violation("POLICY", "", reason);
            }
        }
        Error::OwnedByAutoscaler { target, owner, .. } => {
            details.add_precondition_failure_violation("OWNER", target.to_string(), owner);
        }
        Error::VersionMismatch { current } => {
            details.add_precondition_failure_violation("VERSION", "if_version", current);
        }
        _ => {}
    }
    Status::with_error_details(grpc, cut(&message(error), MAX_MESSAGE).into_owned(), details)
}

/// What happened, for a client that knows methods and no paths.
fn message(error: &Error) -> String {
    match error {
        Error::NoSuchRoute => "there is no such method: the services are scalegate.v1.ReplicaService, \
                               grpc.health.v1.Health and server reflection"
            .into(),
        Error::BodyTooLarge { limit } => format!("the message may have {limit} bytes at most"),
        error => error.detail(),
    }
}

/// The field of the request that a code is about.
fn field(code: &str) -> &'static str {
    match code {
        "invalid_replicas" => "replicas",
        "invalid_reason" => "reason",
        "invalid_name" => "workload",
        "invalid_idempotency_key" => "idempotency_key",
        _ => "",
    }
}

/// The reasons, as far as they fit; the last one says that there are more.
fn cut_all(reasons: &[String]) -> Vec<String> {
    let (mut left, mut kept) = (MAX_REASONS, Vec::new());
    for reason in reasons {
        // The mark needs room too.
        if left <= 2 * VIOLATION {
            kept.push(MARK.to_string());
            break;
        }
        let reason = cut(reason, left - 2 * VIOLATION).into_owned();
        left -= reason.len() + VIOLATION;
        kept.push(reason);
    }
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use tonic::Code;

    use super::*;
    use crate::ids;
    use crate::policy::DecisionId;
    use crate::workload::WorkloadRef;

    #[test]
    fn a_client_finds_the_stable_code_and_what_to_do() {
        let id = ids::new();
        let invalid = of(&Error::invalid("invalid_replicas", "`replicas` is missing"), &id);
        let details = invalid.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (invalid.code(), info.reason.as_str(), info.domain.as_str()),
            (Code::InvalidArgument, "invalid_replicas", DOMAIN)
        );
        assert_eq!(info.metadata["requestId"], id.to_string());
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "replicas");

        let stale = of(&Error::Stale { age: Duration::from_secs(40) }, &id);
        assert_eq!(stale.get_error_details().retry_info().unwrap().retry_delay, Some(Duration::from_secs(5)));

        let target = WorkloadRef::deployment("demo", "web");
        let (owner, advice) = ("HorizontalPodAutoscaler web".into(), "change its minimum".into());
        let driven = of(&Error::OwnedByAutoscaler { target, owner, advice }, &id);
        assert_eq!(driven.get_error_details().precondition_failure().unwrap().violations[0].r#type, "OWNER");
    }

    #[test]
    fn what_does_not_fit_into_trailers_is_cut_with_a_mark() {
        let reasons = vec!["é".repeat(900), "b".repeat(900), "c".repeat(5000), "d".to_owned(), "e".to_owned()];
        let kept = cut_all(&reasons);
        assert_eq!(kept[..1], reasons[..1]);
        assert!(kept[1].ends_with(MARK) || kept[2].ends_with(MARK), "{kept:?}");
        assert!(kept.iter().map(String::len).sum::<usize>() <= MAX_REASONS);
    }

    #[test]
    fn details_have_four_kibibytes_at_most() {
        let long = "ü".repeat(60_000);
        let many = |reason: &str| vec![reason.to_owned(); 60_000];
        let target = WorkloadRef::deployment("n".repeat(63), "w".repeat(253));
        let refused = |reasons| Error::Refused { decision: DecisionId::new(), reasons };
        for error in [
            refused(vec![long.clone()]),
            refused(many("")),
            refused(many("x")),
            refused(many("twenty characters...")),
            Error::invalid("invalid_reason", long.clone()),
            Error::OwnedByAutoscaler { target, owner: "o".repeat(800), advice: long },
        ] {
            let status = of(&error, &ids::new());
            assert!(status.details().len() <= 4096, "{}: {} bytes", error.kind().code, status.details().len());
            assert!(status.message().len() <= MAX_MESSAGE);
        }
    }
}
