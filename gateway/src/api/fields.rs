//! What clients write into requests, checked in the same way at every door.

use std::time::Duration;

use crate::dns;
use crate::replicas::Version;
use crate::resource::check_reason;
use crate::workload::{WorkloadKind, WorkloadRef};

use super::error::Error;

/// The longest part of a list, and the default.
pub(super) const MAX_LIMIT: usize = 500;

/// What a request that waits may take beside its wait.
const BESIDE_WAITING: Duration = Duration::from_secs(10);

/// A workload's name, as Kubernetes lets it be.
pub(super) fn workload(kind: WorkloadKind, in_namespace: &str, name: &str) -> Result<WorkloadRef, Error> {
    let namespace = namespace(in_namespace)?;
    if dns::is_subdomain(name) {
        return Ok(WorkloadRef::new(kind, namespace, name));
    }
    Err(Error::invalid(
        "invalid_name",
        "a workload's name has at most 253 lower-case letters, digits, '-' and '.', each part between dots begins and \
         ends with a letter or digit",
    ))
}

/// A namespace's name.
pub(super) fn namespace(text: &str) -> Result<String, Error> {
    if dns::is_label(text) {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(
        "invalid_name",
        "a namespace's name has at most 63 lower-case letters, digits and '-', and begins and ends with a letter or \
         digit",
    ))
}

/// A reason that can be shown and stored.
pub(super) fn reason(text: String) -> Result<String, Error> {
    match check_reason(&text) {
        Ok(()) => Ok(text),
        Err(wrong) => Err(Error::invalid("invalid_reason", format!("`reason` {wrong}"))),
    }
}

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// A client's name for one request.
pub(super) fn idempotency_key(text: &str) -> Result<String, Error> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(
        "invalid_idempotency_key",
        format!(
            "an idempotency key has 1 to {MAX_KEY_BYTES} characters of printable ASCII, without quotes and backslashes"
        ),
    ))
}

/// How many items of a list are wanted.
pub(super) fn limit(name: &str, value: Option<usize>) -> Result<usize, Error> {
    let limit = value.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid_parameter(name, format!("takes a whole number from 1 to {MAX_LIMIT}")))
}

/// How long the answer to a set may wait, where a request may take `most`: what comes before and after takes time too.
pub(super) fn wait(name: &str, wait: Duration, most: Duration) -> Result<Duration, Error> {
    let most = most.saturating_sub(BESIDE_WAITING);
    if (Duration::from_secs(1)..=most).contains(&wait) {
        return Ok(wait);
    }
    Err(invalid_parameter(name, format!("takes 1s to {}s, as this gateway is configured", most.as_secs())))
}

/// A version that an earlier answer gave.
pub(super) fn version(name: &str, text: &str) -> Result<Version, Error> {
    text.parse().map_err(|error| invalid_parameter(name, error))
}

/// What is wrong with a parameter, whose name may be the client's own.
pub(super) fn invalid_parameter(name: &str, wrong: impl std::fmt::Display) -> Error {
    let name: String = name.chars().take(80).collect();
    Error::invalid("invalid_parameter", format!("the parameter {name:?} {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: WorkloadKind = WorkloadKind::Deployment;

    #[test]
    fn names_that_are_no_dns_labels_are_refused() {
        let long = "a".repeat(64);
        for namespace in ["..", ".", "De", "a_b", "-a", "a-", "a.b", "%2e%2e", "a%2Fb", "ä", "", &long] {
            assert!(workload(KIND, namespace, "web").is_err(), "{namespace}");
        }
        for name in ["..", "web.", ".web", "a..b", "web%00", "Web", "web/x", "", &"a.".repeat(127)] {
            assert!(workload(KIND, "demo", name).is_err(), "{name}");
        }
        assert!(workload(KIND, "demo-1", "web.v2-x").is_ok());
    }
}
