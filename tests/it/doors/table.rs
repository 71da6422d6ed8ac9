//! What is asked at both doors, and what must come of it.

use super::ask::{Ask, LONG, Name};

/// One question, in order: a row finds what the rows above have left.
pub(super) struct Row {
    pub(super) who: &'static str,
    pub(super) ask: Ask,
    pub(super) want: Want,
}

/// The stable code (`ok` for a success), the status of HTTP and the code of gRPC.
pub(super) type Want = (&'static str, i32, i32);

const OK: Want = ("ok", 200, 0);
const ACCEPTED: Want = ("ok", 202, 0);
const REFUSED: Want = ("refused", 403, 7);
const NOT_FOUND: Want = ("deployment_not_found", 404, 5);
const AUTOSCALED: Want = ("owned_by_autoscaler", 409, 9);
const MISMATCH: Want = ("version_mismatch", 412, 9);

const fn invalid(code: &'static str) -> Want {
    (code, 400, 3)
}

const WEB: Name = Name::here("web");
const AUTO: Name = Name::here("auto");
/// A version that no workload has.
const STALE: &str = "none:00000000-0000-4000-8000-000000000000";

fn get(workload: Name) -> Ask {
    Ask::Get { workload, at_least: "" }
}

fn set(workload: Name, replicas: i32) -> Ask {
    Ask::Set { workload, replicas: Some(replicas), reason: "", if_version: "", dry_run: false }
}

fn reasoned(reason: &'static str) -> Ask {
    Ask::Set { workload: WEB, replicas: Some(4), reason, if_version: "", dry_run: false }
}

fn at_version(if_version: &'static str, replicas: i32) -> Ask {
    Ask::Set { workload: WEB, replicas: Some(replicas), reason: "launch", if_version, dry_run: false }
}

fn release(workload: Name) -> Ask {
    Ask::Release { workload, if_version: "", dry_run: false }
}

fn list(selector: &'static str, limit: &'static str, cursor: &'static str) -> Ask {
    Ask::List { namespace: "{namespace}", selector, limit, cursor }
}

/// Every row.
pub(super) fn rows() -> Vec<Row> {
    let parts = [reads(), names(), messages(), writes(), owners()];
    parts.into_iter().flatten().map(|(who, ask, want)| Row { who, ask, want }).collect()
}

type Line = (&'static str, Ask, Want);

fn reads() -> Vec<Line> {
    vec![
        ("viewer", get(WEB), OK),
        ("viewer", Ask::Get { workload: WEB, at_least: "{version}" }, OK),
        ("viewer", Ask::Get { workload: WEB, at_least: "7" }, invalid("invalid_parameter")),
        ("stranger", get(WEB), REFUSED),
        ("viewer", list("", "", ""), OK),
        ("viewer", list("app=web", "", ""), OK),
        ("viewer", list("app=web", "500", ""), OK),
        ("viewer", list("", "1", ""), OK),
        ("viewer", list("", "1", "{cursor}"), OK),
        ("stranger", list("", "", "{cursor}"), invalid("invalid_cursor")),
        ("stranger", list("", "", ""), OK),
        ("viewer", list("", "501", ""), invalid("invalid_parameter")),
        ("viewer", list("", "-1", ""), invalid("invalid_parameter")),
        ("viewer", list("a b", "", ""), invalid("invalid_parameter")),
        (
            "viewer",
            list("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "", ""),
            invalid("invalid_parameter"),
        ),
        ("viewer", list("", "", "x"), invalid("invalid_cursor")),
        ("viewer", list("", "", "demo/web"), invalid("invalid_cursor")),
        ("viewer", Ask::List { namespace: "De_mo", selector: "", limit: "", cursor: "" }, invalid("invalid_name")),
        ("viewer", Ask::List { namespace: "no-such-namespace", selector: "", limit: "", cursor: "" }, OK),
        ("viewer", Ask::History { workload: WEB }, OK),
        ("stranger", Ask::History { workload: WEB }, REFUSED),
        ("operator", Ask::Policies, OK),
        ("viewer", Ask::Policies, REFUSED),
        ("stranger", Ask::Policies, REFUSED),
    ]
}

fn names() -> Vec<Line> {
    let mut lines = Vec::new();
    for workload in [Name::here("nothing"), Name { namespace: "no-such-namespace", name: "web" }] {
        lines.push(("operator", get(workload), NOT_FOUND));
        lines.push(("operator", Ask::History { workload }, NOT_FOUND));
        lines.push(("operator", set(workload, 1), NOT_FOUND));
        lines.push(("operator", release(workload), NOT_FOUND));
        lines.push(("stranger", get(workload), REFUSED));
        lines.push(("stranger", set(workload, 1), REFUSED));
        lines.push(("stranger", release(workload), REFUSED));
    }
    for namespace in ["Demo", "..", "a.b", "-a", "demo/kube-system", "%2e%2e", "ä"] {
        lines.push(("operator", get(Name { namespace, name: "web" }), invalid("invalid_name")));
        lines.push(("operator", set(Name { namespace, name: "web" }, 4), invalid("invalid_name")));
    }
    for name in ["we_b", "..", "web\0", "-web", "web.", "web/replicas", LONG] {
        lines.push(("operator", get(Name::here(name)), invalid("invalid_name")));
        lines.push(("operator", release(Name::here(name)), invalid("invalid_name")));
    }
    lines
}

fn messages() -> Vec<Line> {
    let absent = Ask::Set { workload: WEB, replicas: None, reason: "", if_version: "", dry_run: false };
    vec![
        ("operator", absent, invalid("invalid_replicas")),
        ("operator", set(WEB, -1), invalid("invalid_replicas")),
        ("operator", set(WEB, i32::MIN), invalid("invalid_replicas")),
        ("operator", reasoned("two\nlines"), invalid("invalid_reason")),
        ("operator", reasoned("zero\u{200b}width"), invalid("invalid_reason")),
        ("operator", reasoned(LONG), invalid("invalid_reason")),
        ("operator", at_version("7", 4), invalid("invalid_if_match")),
        (
            "operator",
            Ask::Unreadable { body: r#"{"replicas":"#, message: b"\0\0\0\0\x09\x10" },
            invalid("invalid_body"),
        ),
        ("operator", Ask::Unreadable { body: "", message: b"" }, invalid("invalid_body")),
        ("operator", Ask::Unreadable { body: "\0\x01", message: b"\0\x01" }, invalid("invalid_body")),
        ("operator", Ask::Unreadable { body: "{}{}", message: b"\0\0\0\0\0\0\0\0\0\0" }, invalid("invalid_body")),
        ("operator", Ask::Unreadable { body: "[4]", message: b"\0\0\0\0\x02\xff\xff" }, invalid("invalid_body")),
        ("operator", Ask::TooLarge, ("body_too_large", 413, 8)),
    ]
}

fn writes() -> Vec<Line> {
    vec![
        ("viewer", set(WEB, 4), REFUSED),
        ("stranger", release(WEB), REFUSED),
        ("operator", set(WEB, 40), REFUSED),
        ("operator", set(WEB, 0), REFUSED),
        ("operator", Ask::Set { workload: WEB, replicas: Some(4), reason: "dry", if_version: "", dry_run: true }, OK),
        (
            "operator",
            Ask::Set { workload: WEB, replicas: Some(40), reason: "", if_version: "", dry_run: true },
            REFUSED,
        ),
        ("operator", at_version(STALE, 4), MISMATCH),
        ("operator", at_version("{version}", 5), ACCEPTED),
        ("operator", get(WEB), OK),
        ("operator", at_version("{stale}", 4), MISMATCH),
        ("operator", reasoned("größer, at noon"), ACCEPTED),
        ("operator", list("app=web", "", ""), OK),
        ("operator", Ask::Release { workload: WEB, if_version: STALE, dry_run: false }, MISMATCH),
        ("operator", Ask::Release { workload: WEB, if_version: "", dry_run: true }, OK),
        ("operator", Ask::Release { workload: WEB, if_version: "{version}", dry_run: false }, OK),
        ("operator", release(WEB), OK),
        ("operator", get(WEB), OK),
    ]
}

fn owners() -> Vec<Line> {
    vec![
        ("operator", get(AUTO), OK),
        ("operator", set(AUTO, 3), AUTOSCALED),
        ("viewer", set(AUTO, 3), REFUSED),
        (
            "operator",
            Ask::Set { workload: AUTO, replicas: Some(3), reason: "", if_version: "", dry_run: true },
            AUTOSCALED,
        ),
    ]
}
