//! docs/errors.md names the codes that there are, and says of each what the code does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use tonic::Code;

use super::kind::INVALID;
use super::*;

/// An error of each variant.
pub(in crate::api) fn samples() -> Vec<Error> {
    let (decision, target) = (DecisionId::new(), WorkloadRef::deployment("demo", "web"));
    let (limit, text) = (Duration::from_secs(1), || "text".to_owned());
    let others = [
        Error::InvalidCursor,
        Error::NoSuchRoute,
        Error::MethodNotAllowed { allow: "GET" },
        Error::NotImplemented { what: "duration" },
        Error::BodyTooLarge { limit: 8192 },
        Error::UnsupportedMediaType,
        Error::HttpVersion,
        Error::ExpectationFailed,
        Error::Timeout { limit },
        Error::DeadlineExceeded { limit },
        Error::Identity(IdentityError::NotForClients),
        Error::CrossSite,
        Error::Refused { decision, reasons: vec![text()] },
        Error::PolicyUnavailable { decision, cause: text() },
        Error::Busy { decision },
        Error::TooManyRequests,
        Error::RateLimited { wait: limit },
        Error::Full,
        Error::AuditUnavailable { decision },
        Error::NotFound { target: target.clone() },
        Error::OwnedByAutoscaler { target: target.clone(), owner: text(), advice: text() },
        Error::VersionMismatch { current: text() },
        Error::IdempotencyKeyReused,
        Error::Conflict { target },
        Error::VersionNotReached,
        Error::Unread,
        Error::Stale { age: limit },
        Error::WriteRejected { cause: text() },
        Error::PolicyChanged,
        Error::Draining,
        Error::Internal { cause: text() },
        Error::KubernetesUnavailable { cause: text() },
    ];
    INVALID.map(|code| Error::invalid(code, "detail")).into_iter().chain(others).collect()
}

/// The cells of a table's rows that are about a code: those whose first cell is one.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The name of a gRPC code in the specification: `INVALID_ARGUMENT`.
fn name(code: Code) -> String {
    let words = format!("{code:?}");
    let spaced = words.chars().enumerate().flat_map(|(at, letter)| {
        let gap = (at > 0 && letter.is_uppercase()).then_some('_');
        gap.into_iter().chain(letter.to_uppercase())
    });
    spaced.collect()
}

/// How an error shows in the log.
fn logged(error: &Error) -> &'static str {
    let http = error.kind().http;
    let unserved = matches!(http, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    match error {
        // The last two end streams, whose requests were answered.
        Error::TooManyRequests | Error::RateLimited { .. } | Error::PolicyChanged | Error::Draining => "no line",
        _ if http.is_server_error() && !unserved => "warn",
        _ => "info",
    }
}

#[test]
fn there_is_a_sample_of_every_code() {
    let sampled: BTreeSet<_> = samples().iter().map(|error| error.kind().code).collect();
    let table = include_str!("kind.rs").split("pub fn kind(").nth(1).unwrap();
    let named: BTreeSet<_> = table.split('"').skip(1).step_by(2).chain(INVALID).collect();
    assert_eq!(sampled, named, "add the variant to the samples");
}

#[test]
fn the_page_of_errors_has_a_row_for_each_code_and_says_what_the_code_does() {
    let page = document("docs/errors.md");
    let rows = rows(&page);
    let by_code: BTreeMap<_, _> = rows.iter().map(|row| (row[0].trim_matches('`'), &row[1..])).collect();
    assert_eq!(by_code.len(), rows.len(), "a code has two rows");
    let samples = samples();
    let codes: BTreeSet<_> = samples.iter().map(|error| error.kind().code).collect();
    assert_eq!(by_code.keys().copied().collect::<BTreeSet<_>>(), codes, "the rows of docs/errors.md, and the codes");
    // Two errors have the code `busy`; that of a decision is logged.
    for error in samples.iter().filter(|error| !matches!(error, Error::Full)) {
        let kind = error.kind();
        let retry = match error {
            Error::RateLimited { .. } => "varies".to_owned(),
            error => error.retry_after().map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s")),
        };
        let expected = [kind.http.as_str().to_owned(), name(kind.grpc), retry, logged(error).to_owned()];
        let row = by_code[kind.code];
        assert_eq!(row[..4], expected, "{}", kind.code);
        assert_eq!(row.len(), 7, "{}: what it means, and the steps of caller and operator", kind.code);
        assert!(row.iter().all(|cell| !cell.is_empty()), "{}", kind.code);
    }
}
