//! Requests that are answered before their body was read.

use std::path::PathBuf;

use anyhow::Result;
use scalegate_tests::languages::Attempt;
use scalegate_tests::suite::{self, Shared};

use super::{Case, Want, attempt, check, tries, web};

#[tokio::test]
async fn every_client_sees_the_answer_that_comes_before_its_body_was_read() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "early").await?;
    let right = attempt(&suite, &path).with("method", "PUT").with("type", "application/json");
    let wrong_path = attempt(&suite, &format!("{path}/")).with("method", "PUT").with("type", "application/json");
    let nobody = right.clone().certificate(&certificate_without_names(&suite)?, "nobody");
    let refused = [
        ("a wrong path", wrong_path, 404, "no_such_route"),
        ("text/plain", right.clone().with("type", "text/plain"), 415, "unsupported_media_type"),
        ("POST", right.clone().with("method", "POST"), 405, "method_not_allowed"),
        ("a certificate without names", nobody, 403, "identity_refused"),
    ];
    let mut cases = Vec::new();
    for size in [40_000, 100_000, 1_000_000] {
        for (name, attempt, status, code) in &refused {
            cases.push(case(&format!("{size} bytes: {name}"), attempt, size, *status, code));
        }
        if size > 64 * 1024 {
            cases.push(case(&format!("{size} bytes"), &right, size, 413, "body_too_large"));
        }
    }
    check("early refusals", &cases).await
}

#[tokio::test]
async fn a_connection_is_kept_after_a_refusal_or_its_end_is_announced() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "kept").await?;
    let post = attempt(&suite, &path).with("method", "POST").with("type", "application/json");
    let post = post.with("body", "length").with("size", 14).with("pause", 2).with("kept", "yes").tries(2 * tries());
    let want = Want::Answer(405, Some("method_not_allowed"));
    check("kept connections", &[Case { name: "POST of 14 bytes behind its head".to_owned(), attempt: post, want }])
        .await
}

/// The head, 50 ms later the body.
fn case(name: &str, attempt: &Attempt, size: usize, status: u16, code: &'static str) -> Case {
    let attempt = attempt.clone().with("body", "length").with("size", size).with("pause", 50);
    let tries = tries().div_ceil(10).max(3);
    Case { name: name.to_owned(), attempt: attempt.tries(tries), want: Want::Answer(status, Some(code)) }
}

/// The directory of a certificate that is good and names nobody: `nobody.pem`.
fn certificate_without_names(suite: &Shared) -> Result<PathBuf> {
    let [certificate, key] = ["ca.pem", "ca-key.pem"].map(|file| std::fs::read_to_string(suite.certs().join(file)));
    let authority = scalegate_certs::CertificateAuthority::load(&certificate?, &key?)?;
    let issued = authority.issue(&scalegate_certs::LeafSpec::client("nobody"))?;
    let directory = suite.certs().join("nobody");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("nobody.pem"), issued.cert_pem)?;
    std::fs::write(directory.join("nobody-key.pem"), issued.key_pem)?;
    Ok(directory)
}
