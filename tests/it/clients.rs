//! What people use: curl, Go, Java, Node and Python, over HTTP/1.1 and HTTP/2.
//!
//! Whether such a client sees an answer, or that its connection was cut, can be chance: `make clients-test` tries more often.

mod bodies;
mod handshakes;
mod semantics;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use scalegate_tests::fixtures::deployment;
use scalegate_tests::languages::{Attempt, Language, Outcome, Protocol};
use scalegate_tests::suite::{self, Shared};

/// A request, and what must come of it each time.
struct Case {
    name: String,
    attempt: Attempt,
    want: Want,
}

/// What must come of a try.
enum Want {
    /// An answer with this status and, where it is given, this code.
    Answer(u16, Option<&'static str>),
    /// The same head as that of an answer to GET, and no body.
    HeadOf { status: u16, length: bool, headers: BTreeMap<&'static str, String> },
    /// A failure that names the alert of this certificate.
    Alert(&'static str),
}

/// How often each request is tried.
fn tries() -> usize {
    std::env::var("SCALEGATE_CLIENT_TRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// A namespace with a Deployment that the gateway shows: the path of its replicas.
async fn web(suite: &Shared, namespace: &str) -> Result<String> {
    let namespace = suite.namespace(namespace).await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    Ok(suite::replicas(&namespace, "web"))
}

/// A GET of `path` by the operator.
fn attempt(suite: &Shared, path: &str) -> Attempt {
    anonymous(suite, path).certificate(&suite.certs().join("clients"), "operator")
}

/// A GET of `path` without a certificate.
fn anonymous(suite: &Shared, path: &str) -> Attempt {
    let url = format!("https://localhost:{}{path}", suite.address().port());
    Attempt::new(&url, &suite.certs().join("ca.pem"))
}

/// Tries every case with every language and both protocols, prints a table, and fails unless all tries went right.
async fn check(title: &str, cases: &[Case]) -> Result<()> {
    check_over(title, &[(Protocol::Http1, cases), (Protocol::Http2, cases)]).await
}

/// As [`check`], with the cases of each protocol.
async fn check_over(title: &str, cases: &[(Protocol, &[Case])]) -> Result<()> {
    let languages = Language::all().await?;
    let all =
        languages.iter().flat_map(|language| cases.iter().map(move |(protocol, cases)| (language, protocol, cases)));
    let reports = try_join_all(all.map(|(language, protocol, cases)| report(language, *protocol, cases))).await?;
    let (all, wrong) = reports.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
    println!("{title}\n{:8}{:10}{:40}{:>6}{:>6}{:>6}", "client", "protocol", "request", "tries", "right", "hung");
    println!("{}", all.concat());
    let wrong = wrong.concat();
    ensure!(wrong.is_empty(), "{title}: not all went right\n{wrong}");
    Ok(())
}

/// A line for each case, and a paragraph for each that went wrong.
async fn report(language: &Language, protocol: Protocol, cases: &[Case]) -> Result<(String, String)> {
    let attempts: Vec<_> = cases.iter().map(|case| case.attempt.clone()).collect();
    let (mut lines, mut wrong) = (String::new(), String::new());
    for (case, outcomes) in cases.iter().zip(language.run(protocol, &attempts).await?) {
        let label = format!("{:8}{:10}{:40}", language.name, protocol.to_string(), case.name);
        if let [Outcome::Unsupported(reason)] = &outcomes[..] {
            writeln!(lines, "{label}     -     -     -  {reason}")?;
            continue;
        }
        let right = outcomes.iter().filter(|outcome| case.want.fits(&language.name, protocol, outcome)).count();
        let hung = outcomes.iter().filter(|outcome| **outcome == Outcome::Hung).count();
        let line = format!("{label}{:6}{right:6}{hung:6}", outcomes.len());
        writeln!(lines, "{line}")?;
        if right < outcomes.len() {
            writeln!(wrong, "{line}")?;
            for (summary, count) in counts(&outcomes) {
                writeln!(wrong, "    {count} x {summary}")?;
            }
        }
    }
    Ok((lines, wrong))
}

fn counts(outcomes: &[Outcome]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.summary()).or_default() += 1;
    }
    counts
}

impl Want {
    fn fits(&self, language: &str, protocol: Protocol, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Alert(certificate), Outcome::Failed(error)) => handshakes::names_alert(language, certificate, error),
            (Self::Answer(status, code), Outcome::Answered(reply)) => {
                let problem: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
                let is_coded = code.is_none_or(|code| problem["code"] == code);
                reply.protocol == protocol.to_string() && reply.status == *status && is_coded
            }
            (Self::HeadOf { status, length, headers }, Outcome::Answered(reply)) => {
                reply.protocol == protocol.to_string()
                    && reply.status == *status
                    && reply.body.is_empty()
                    && reply.headers.contains_key("content-length") == *length
                    && headers.iter().all(|(name, value)| reply.headers.get(*name) == Some(value))
            }
            _ => false,
        }
    }
}
