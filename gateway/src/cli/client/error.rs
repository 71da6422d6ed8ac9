//! Why a client command failed: what it says, its exit code, and what to do next.

use std::fmt;
use std::io;

use http::StatusCode;
use serde_json::{Value, json};
use thiserror::Error;

use super::advice;
use crate::text::{cut, escaped};

/// The exit codes, as `--help` and README show them.
pub(in crate::cli) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  another failure
  2  bad usage: arguments, files or contexts, or a request that the gateway cannot read (400)
  3  refused (403)
  4  not found (404)
  5  conflict (409, 412, 422)
  6  unreachable: no connection, a TLS failure, or the gateway cannot serve it now (503)
  7  timed out";

/// The most bytes of a refusal that are shown.
const MAX_SHOWN_BYTES: usize = 4096;
/// The most bytes that are shown of an answer which is no problem document.
const MAX_FOREIGN_BYTES: usize = 200;
/// The most bytes of an error about arguments or a connection: paths and addresses in it may be of any length.
const MAX_OWN_BYTES: usize = 1024;

/// Why a client command failed. Texts of others in it are cut and escaped.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The arguments, a file or a context cannot be used.
    #[error("{}", cut(.0, MAX_OWN_BYTES))]
    Usage(String),
    /// The gateway answered with a problem.
    #[error("{0}")]
    Problem(Problem),
    /// There was no answer.
    #[error("{}", cut(.what, MAX_OWN_BYTES))]
    Unreachable {
        /// What happened.
        what: String,
        /// What to do next; empty where there is nothing to say.
        advice: String,
        /// How far it came.
        stage: Stage,
    },
    /// An answer took too long.
    #[error("{0}")]
    TimedOut(String),
    /// A change was stored, and what it changed was not ready in time.
    #[error("{0}")]
    NotReady(String),
    /// A change was stored, and something keeps it from being applied or ready.
    #[error("{0}")]
    HeldUp(String),
    /// Somebody else changed the target meanwhile.
    #[error("{0}")]
    Overtaken(String),
    /// No Deployment has the labels.
    #[error("no Deployment that you may see has the labels {0}")]
    NothingSelected(String),
    /// Steps of `doctor` failed.
    #[error("failed steps: {0}")]
    Unhealthy(usize),
    /// Some of several changes failed.
    #[error("{failed} of {all} failed{consequence}; the first: {name}: {first}")]
    Several {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
        /// What that means for the others.
        consequence: &'static str,
        /// The first that failed.
        name: String,
        /// Why.
        first: Box<ClientError>,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// Anything else, with its causes.
    #[error("{}", chain(.0))]
    Other(#[from] anyhow::Error),
}

/// How far a request came that had no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody accepted a connection.
    Connecting,
    /// One of the two refused the other's certificate, or does not speak TLS.
    Tls,
    /// An open connection broke.
    Open,
}

impl ClientError {
    /// The exit code of the program.
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::HeldUp(_) | Self::Unhealthy(_) | Self::Output(_) | Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Problem(problem) => problem.exit_code(),
            Self::NothingSelected(_) => 4,
            Self::Overtaken(_) => 5,
            Self::Unreachable { .. } => 6,
            Self::TimedOut(_) | Self::NotReady(_) => 7,
            Self::Several { first, .. } => first.exit_code(),
        }
    }

    /// What to do next; empty where there is nothing to say.
    pub(in crate::cli) fn advice(&self) -> &str {
        match self {
            Self::Problem(problem) => advice::of_problem(problem.code()),
            Self::Unreachable { advice, .. } => advice,
            Self::TimedOut(_) => "read it with `scalegate get`, and try again if it did not change",
            Self::NotReady(_) | Self::HeldUp(_) => "it stays set: follow it with `scalegate watch`",
            Self::Overtaken(_) => "read it with `scalegate get -o wide`, and decide again",
            Self::NothingSelected(_) => "`scalegate list -A` shows what you may see",
            Self::Several { first, .. } => first.advice(),
            Self::Usage(_) | Self::Unhealthy(_) | Self::Output(_) | Self::Other(_) => "",
        }
    }

    /// Returns whether an open connection broke, so that a request which may be repeated can be sent again.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Unreachable { stage: Stage::Open, .. })
    }

    /// Returns whether the same request may succeed in a few seconds, as while a gateway is replaced.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { stage, .. } => *stage != Stage::Tls,
            Self::Problem(problem) => matches!(problem.status, 429 | 503 | 504),
            Self::TimedOut(_) => true,
            _ => false,
        }
    }

    /// What happened, in a word or two for a table.
    pub(super) fn outcome(&self) -> &'static str {
        match self.exit_code() {
            3 => "refused",
            4 => "not found",
            5 => "conflict",
            6 => "unreachable",
            7 => "timed out",
            _ => "failed",
        }
    }
}

/// An error and its causes on one line, each once: some errors repeat their cause.
pub(in crate::cli) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |line, cause| match line.as_str() {
        "" => cause,
        line if line.ends_with(&cause) => line.to_owned(),
        line => format!("{line}: {cause}"),
    })
}

/// A problem document about an answer that has none.
fn foreign(status: StatusCode, text: &str) -> Value {
    let said = match text.trim() {
        "" => "an empty answer".to_owned(),
        text => format!("an answer without a problem document: {}", cut(text, MAX_FOREIGN_BYTES)),
    };
    let title = status.canonical_reason().unwrap_or("unknown status");
    json!({ "status": status.as_u16(), "title": title, "detail": format!("is it a scalegate gateway? It gave {said}") })
}

/// A problem document (RFC 9457). `Display` is one line, whatever is in it.
#[derive(Debug, Clone)]
pub struct Problem {
    status: u16,
    document: Value,
}

impl Problem {
    pub(super) fn new(status: u16, document: Value) -> Self {
        Self { status, document }
    }

    /// The problem of an answer. One without a problem document, as of a proxy, gets one that quotes its beginning.
    pub(super) fn of_answer(status: StatusCode, body: &[u8]) -> Self {
        let document = serde_json::from_slice(body).ok().filter(|document: &Value| document["code"].is_string());
        Self::new(status.as_u16(), document.unwrap_or_else(|| foreign(status, &String::from_utf8_lossy(body))))
    }

    /// The problem that ends a stream.
    pub(super) fn of_stream(document: Value) -> Self {
        let status = document["status"].as_u64().and_then(|status| status.try_into().ok());
        Self { status: status.unwrap_or_default(), document }
    }

    /// The stable code, such as `refused`.
    pub(super) fn code(&self) -> &str {
        self.document["code"].as_str().unwrap_or_default()
    }

    /// As the gateway sent it.
    pub(super) fn document(&self) -> &Value {
        &self.document
    }

    /// What the gateway says about it, for one line.
    pub(super) fn detail(&self) -> String {
        self.text("detail")
    }

    fn text(&self, key: &str) -> String {
        escaped(&cut(self.document[key].as_str().unwrap_or_default(), MAX_SHOWN_BYTES)).into_owned()
    }

    fn exit_code(&self) -> u8 {
        match self.status {
            400 => 2,
            403 => 3,
            404 => 4,
            409 | 412 | 422 => 5,
            503 => 6,
            408 | 504 => 7,
            _ => 1,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.code().is_empty() { "title" } else { "code" };
        write!(f, "{} {}: {}", self.status, self.text(kind), self.detail())?;
        let id = |id: &str| self.document[id].is_string().then(|| format!("{id} {}", self.text(id)));
        let ids: Vec<_> = ["decisionId", "requestId"].into_iter().filter_map(id).collect();
        if ids.is_empty() { Ok(()) } else { write!(f, " ({})", ids.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn problem(status: u16) -> ClientError {
        ClientError::Problem(Problem::new(status, json!({"code": "c", "detail": "d"})))
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let codes = [
            (400, 2),
            (403, 3),
            (404, 4),
            (408, 7),
            (409, 5),
            (412, 5),
            (413, 1),
            (422, 5),
            (429, 1),
            (500, 1),
            (503, 6),
            (504, 7),
        ];
        for (status, code) in codes {
            assert_eq!(problem(status).exit_code(), code, "{status}");
        }
        assert_eq!(ClientError::Usage(String::new()).exit_code(), 2);
        assert_eq!(ClientError::TimedOut(String::new()).exit_code(), 7);
        assert_eq!(ClientError::NotReady(String::new()).exit_code(), 7);
        assert_eq!(ClientError::Other(anyhow!("x")).exit_code(), 1);
        let several = ClientError::Several {
            failed: 1,
            all: 2,
            consequence: "",
            name: "demo/web".to_owned(),
            first: Box::new(problem(403)),
        };
        assert_eq!((several.exit_code(), several.outcome()), (3, "refused"));
        for code in 0..=7 {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }

    #[test]
    fn each_failure_says_what_happened_and_what_to_do() {
        let alert = "the gateway refuses the certificate (alert CertificateExpired)".to_owned();
        let refused = json!({"code": "refused", "detail": "ask for at most 10", "decisionId": "d", "requestId": "r"});
        let refused = || ClientError::Problem(Problem::new(403, refused.clone()));
        let name = || "demo/web".to_owned();
        let failures = [
            ClientError::Usage("--server: it takes https://HOST:PORT".to_owned()),
            refused(),
            ClientError::Unreachable { what: alert, advice: "have it renewed".to_owned(), stage: Stage::Tls },
            ClientError::TimedOut("no answer from localhost:8443 within 70 s".to_owned()),
            ClientError::NotReady("not ready after 30s: demo/web: desired 5, updated 5, ready 4".to_owned()),
            ClientError::HeldUp("it is held up: demo/web: desired 5, updated 5, ready 4".to_owned()),
            ClientError::Overtaken("ci set demo/web to 7 meanwhile".to_owned()),
            ClientError::NothingSelected("tier=none".to_owned()),
            ClientError::Unhealthy(2),
            ClientError::Several { failed: 1, all: 3, consequence: "", name: name(), first: Box::new(refused()) },
            ClientError::Output(io::Error::from(io::ErrorKind::StorageFull)),
            ClientError::Other(anyhow!("no such file").context("cannot read a.pem")),
        ];
        let shown = failures.map(|failure| match failure.advice() {
            "" => format!("{}: {failure}\n", failure.exit_code()),
            advice => format!("{}: {failure}\n   {advice}\n", failure.exit_code()),
        });
        insta::assert_snapshot!("failures", shown.concat());
    }

    #[test]
    fn a_refusal_is_one_line_however_long_and_hostile_its_reasons_are() {
        let reason = format!("no\nscalegate: 200 fine \u{1b}[2K\u{9b}31m\u{202e}{}", "x".repeat(100_000));
        let document = json!({"code": "refused", "detail": reason, "decisionId": "d"});
        let error = Problem::new(403, document).to_string();
        assert!(error.starts_with(r"403 refused: no\nscalegate: 200 fine \u{1b}[2K\u{9b}31m\u{202e}xxx"), "{error}");
        assert!(error.len() < 5000 && error.ends_with("x… (decisionId d)"), "{error}");
    }

    #[test]
    fn an_answer_without_a_problem_document_keeps_its_status_and_is_cut() {
        let html = format!("<html>\n{}", "x".repeat(100_000));
        let of = |status, body: &str| ClientError::Problem(Problem::of_answer(status, body.as_bytes()));
        let unavailable = of(StatusCode::SERVICE_UNAVAILABLE, &html);
        assert!(unavailable.exit_code() == 6 && unavailable.may_pass());
        let text = unavailable.to_string();
        assert!(text.starts_with("503 Service Unavailable: is it a scalegate gateway?"), "{text}");
        assert!(text.contains(r"<html>\nxxx") && text.len() < 400, "{text}");
        for body in ["", "[]", "\"x\"", "{\"message\": 1}"] {
            let missing = of(StatusCode::NOT_FOUND, body);
            assert_eq!(missing.exit_code(), 4, "{body}");
            assert!(missing.to_string().starts_with("404 Not Found: is it a scalegate gateway?"), "{missing}");
        }
        let problem = of(StatusCode::NOT_FOUND, r#"{"code": "no_such_route", "detail": "d"}"#);
        assert_eq!(problem.to_string(), "404 no_such_route: d");
    }

    #[test]
    fn a_long_path_or_address_is_cut() {
        let long = || format!("cannot connect to {}", "x".repeat(100_000));
        let unreachable = ClientError::Unreachable { what: long(), advice: String::new(), stage: Stage::Connecting };
        for error in [ClientError::Usage(long()), unreachable] {
            let text = error.to_string();
            assert!(text.len() <= MAX_OWN_BYTES && text.ends_with("x…"), "{} bytes", text.len());
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow!("no such file").context("a.pem: no such file").context("cannot start");
        assert_eq!(chain(&error), "cannot start: a.pem: no such file");
    }
}
