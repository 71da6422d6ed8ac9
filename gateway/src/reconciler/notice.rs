//! What the events on a Deployment tell its owners.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use crate::resource::{CountChange, ReplicaTargetStatus};
use crate::workload::WorkloadRef;

use super::conditions::{self, CONTENDED};
use super::plan::Cause;

/// The name under which events are reported.
const CONTROLLER: &str = "scalegate.dev/reconciler";
/// The API server refuses longer notes and instances.
const LONGEST_NOTE_BYTES: usize = 1024;
const LONGEST_INSTANCE_BYTES: usize = 128;

/// An event before it has a time and a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// `Normal` or `Warning`.
    pub(super) kind: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Notice {
    /// The count was set.
    pub(super) fn scaled(cause: Cause, change: &CountChange, fight: bool) -> Self {
        let CountChange { from, to, .. } = change;
        let why = change.reason.as_deref().unwrap_or("no reason given");
        match cause {
            Cause::Change => {
                let who = change.requested_by.as_deref().unwrap_or("an unknown client");
                let decision = change.decision_id.as_deref().map(|id| format!(" (decision {id})")).unwrap_or_default();
                Self {
                    kind: "Normal",
                    reason: "Scaled",
                    message: format!("scaled from {from} to {to} for {who}{decision}: {why}"),
                }
            }
            Cause::Drift => {
                let again = if fight { "; this keeps happening, so corrections are slowed down" } else { "" };
                let message = format!("scaled from {from} back to {to}: {why}{again}");
                Self { kind: "Warning", reason: "DriftCorrected", message }
            }
        }
    }

    /// Somebody else drives the count as of `new`, which `old` did not know.
    pub(super) fn contended(old: Option<&ReplicaTargetStatus>, new: &ReplicaTargetStatus) -> Option<Self> {
        let is_known = old.is_some_and(conditions::is_contended);
        let begins = conditions::is_contended(new) && !is_known;
        let contended = conditions::status(&new.conditions, CONTENDED).filter(|_| begins)?;
        Some(Self {
            kind: "Warning",
            reason: CONTENDED,
            message: format!("the target's count is not applied: {}", contended.message),
        })
    }

    /// The event on the Deployment `name` with `uid`, reported by the process `instance`.
    pub(super) fn event(self, name: &WorkloadRef, uid: &str, instance: &str, now: Timestamp) -> Event {
        let reference = |api_version: &str, kind: &str, uid: Option<&str>| ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(name.namespace.clone()),
            name: Some(name.name.clone()),
            uid: uid.map(str::to_owned),
            ..ObjectReference::default()
        };
        Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", name.name)),
                namespace: Some(name.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some("Scale".to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(cut(self.message, LONGEST_NOTE_BYTES)),
            reason: Some(self.reason.to_owned()),
            regarding: Some(reference(name.kind.api_version(), name.kind.as_str(), Some(uid))),
            related: Some(reference("scalegate.dev/v1alpha1", "ReplicaTarget", None)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(cut(instance.to_owned(), LONGEST_INSTANCE_BYTES)),
            type_: Some(self.kind.to_owned()),
            ..Event::default()
        }
    }
}

/// The longest beginning of `text` that fits into `bytes`.
fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn change(reason: &str) -> CountChange {
        CountChange {
            at: Time(Timestamp::UNIX_EPOCH),
            from: 3,
            to: 6,
            requested_by: Some("uri:spiffe://example.org/ci".to_owned()),
            reason: Some(reason.to_owned()),
            decision_id: Some("d-1".to_owned()),
        }
    }

    #[test]
    fn an_event_says_who_from_to_and_why() {
        let event = Notice::scaled(Cause::Change, &change("launch"), false).event(
            &WorkloadRef::deployment("demo", "web"),
            "uid-1",
            "pod-1",
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(
            event.note.as_deref(),
            Some("scaled from 3 to 6 for uri:spiffe://example.org/ci (decision d-1): launch")
        );
        let regarding = event.regarding.unwrap();
        assert_eq!(regarding.uid.as_deref(), Some("uid-1"));
        assert_eq!((regarding.kind.as_deref(), regarding.name.as_deref()), (Some("Deployment"), Some("web")));
    }

    #[test]
    fn a_note_is_cut_between_characters_at_the_api_servers_limit() {
        let event = Notice::scaled(Cause::Change, &change(&"ü".repeat(2000)), false).event(
            &WorkloadRef::deployment("demo", "web"),
            "uid-1",
            &"x".repeat(300),
            Timestamp::UNIX_EPOCH,
        );
        assert!((LONGEST_NOTE_BYTES - 1..=LONGEST_NOTE_BYTES).contains(&event.note.unwrap().len()));
        assert_eq!(event.reporting_instance.unwrap().len(), LONGEST_INSTANCE_BYTES);
    }
}
