//! Bytes that nobody meant: certificates, requests and modules are changed at random, and the gateway has a sentence for
//! each of them.
//!
//! A run of the tests makes the same changes every time. `make fuzz` makes others, for as long as it is told; what fails
//! prints its input.

mod builtins;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scalegate::identity::{ClientIdentity, IdForm, Voucher};
use scalegate::policy::rego::Module;
use scalegate::policy::{Budget, Engine};
use scalegate_tests::fixtures::deployment;
use scalegate_tests::paths::repository;
use scalegate_tests::suite;

/// Seconds to go on for, with changes that are new each time.
const VARIABLE: &str = "SCALEGATE_FUZZ_SECONDS";

/// How long a request that may be complete is waited for. One that is not would be waited for until its deadline.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long to go on, and where the changes come from.
struct Rounds {
    left: usize,
    until: Option<Instant>,
    random: Rng,
}

impl Rounds {
    /// `count` rounds, unless the environment gives a time.
    fn new(count: usize) -> Result<Self> {
        let Some(seconds) = std::env::var_os(VARIABLE) else {
            return Ok(Self { left: count, until: None, random: Rng::with_seed(7) });
        };
        let seconds = seconds.to_str().and_then(|text| text.parse().ok()).context("SCALEGATE_FUZZ_SECONDS: seconds")?;
        Ok(Self { left: 0, until: Some(Instant::now() + Duration::from_secs(seconds)), random: Rng::new() })
    }

    /// Whether there is another round.
    fn another(&mut self) -> bool {
        if let Some(until) = self.until {
            return Instant::now() < until;
        }
        let another = self.left > 0;
        self.left = self.left.saturating_sub(1);
        another
    }

    /// `seed` with one to four bits turned, so that its structure stays.
    fn turned(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..self.random.usize(1..=4) {
            let at = self.random.usize(..bytes.len());
            bytes[at] ^= 1 << self.random.u8(..8);
        }
        bytes
    }

    /// One of `seeds`, changed in one to four places.
    fn mutant(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.random.choice(seeds).cloned().unwrap_or_default();
        for _ in 0..self.random.usize(1..=4) {
            let at = self.random.usize(..=bytes.len());
            let end = (at + self.random.usize(..16)).min(bytes.len());
            match self.random.u8(..6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.random.u8(..8),
                1 if at < bytes.len() => bytes[at] = self.random.u8(..),
                2 => drop(bytes.drain(at..end)),
                3 => bytes.insert(at, self.random.u8(..)),
                4 => {
                    let again = bytes[at..end].repeat(self.random.usize(1..100));
                    bytes.splice(at..at, again);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

#[test]
fn a_certificate_of_any_bytes_names_somebody_or_is_told_why_not() -> Result<()> {
    let directory = tempfile::tempdir()?;
    scalegate_tests::stack::certificates(directory.path())?;
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(directory.path().join("clients"))? {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with("-key.pem") {
            seeds.push(CertificateDer::from_pem_file(&path)?.to_vec());
        }
    }
    let forms = [IdForm::Uri, IdForm::Dns, IdForm::Cn].into();
    let vouchers = [Voucher { trust_domain: "scalegate.test".parse()?, forms }];
    let (mut named, mut refused) = (0, 0);
    let mut rounds = Rounds::new(20_000)?;
    while rounds.another() {
        let bytes = rounds.mutant(&seeds);
        match ClientIdentity::from_certificate(&CertificateDer::from(bytes.clone()), &vouchers) {
            Ok(client) => {
                named += 1;
                let id = client.id().as_str();
                let typed = ["uri:spiffe://scalegate.test/", "dns:", "cn:"].iter().any(|kind| id.starts_with(kind));
                assert!(typed && !id.chars().any(char::is_control), "{id:?} by {bytes:?}");
            }
            Err(error) => {
                refused += 1;
                let told = error.to_string();
                assert!(!told.is_empty() && !told.chars().any(char::is_control), "{told:?} by {bytes:?}");
            }
        }
    }
    println!("certificates: {named} named somebody, {refused} were refused");
    assert!(named > 0 && refused > 0, "changes that all end alike try nothing");
    Ok(())
}

#[test]
fn a_module_of_any_bytes_gives_a_verdict_or_is_told_why_not() -> Result<()> {
    let wasm = std::fs::read(repository().join("target/policies/scalegate.wasm")).context("run `make policies`")?;
    let input = std::fs::read(repository().join("policies/rego/examples/operator-sets.input.json"))?;
    let settings = std::fs::read(repository().join("policies/rego/examples/settings.json"))?;
    let engine = Engine::new()?;
    let budget = Budget { deadline: Duration::from_millis(100), ..Budget::default() };
    let (mut answered, mut failed, mut refused) = (0, 0, 0);
    let mut rounds = Rounds::new(200)?;
    while rounds.another() {
        let bytes = rounds.turned(&wasm);
        match Module::load(&engine, &bytes, budget, &settings) {
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
            Ok(module) => match module.evaluate(&input, Timestamp::UNIX_EPOCH) {
                Ok(_) => answered += 1,
                Err(error) => {
                    failed += 1;
                    assert!(!error.to_string().is_empty());
                }
            },
        }
    }
    println!("modules: {answered} answered, {failed} failed, {refused} did not load");
    assert!(answered > 0 && refused > 0, "changes that all end alike try nothing");
    Ok(())
}

#[tokio::test]
async fn a_request_of_any_bytes_is_answered_or_ended_and_is_no_error_of_the_server() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("fuzz").await?;
    deployment(&namespace, "web").replicas(3).create(&suite.kube().await?).await?;
    suite.wait_seen(&namespace, "web").await?;
    let path = suite::replicas(&namespace, "web");
    let body = r#"{"replicas": 4, "reason": "launch at noon"}"#;
    let seeds = [
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n"),
        "GET /v1/deployments?labelSelector=tier%3Dfront&limit=2&continue=eyJ HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        format!(
            "PUT {path}?dryRun=true HTTP/1.1\r\nHost: localhost\r\nIf-Match: \"a98026de-e897-4571-99d3-8c5bcf35d254:1\"\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
        format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ]
    .map(String::into_bytes);

    let operator = suite.client("operator")?;
    let (mut answered, mut ended) = (0, 0);
    let mut rounds = Rounds::new(300)?;
    while rounds.another() {
        let bytes = rounds.mutant(&seeds);
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        let answer = operator.raw(&bytes, PATIENCE).await.with_context(shown)?;
        if answer.is_empty() {
            ended += 1;
            continue;
        }
        answered += 1;
        let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).map(String::from_utf8_lossy);
        let status: u16 = status.with_context(shown)?.parse().with_context(shown)?;
        assert!((200..500).contains(&status), "{status} by {}", shown());
    }
    println!("requests: {answered} were answered, {ended} were ended or waited for");
    assert!(answered > 0, "changes that all end alike try nothing");
    // A task that panics ends its connection alone, and so shows in the log only.
    let panics = suite.gateway_log().iter().filter(|line| line.to_string().contains("panicked")).count();
    assert_eq!((panics, operator.get(&path).await?.status), (0, 200));
    Ok(())
}
