//! Certificates that are refused in the handshake: each client says why, in the words of its library.

use anyhow::Result;
use scalegate_tests::suite;

use super::{Case, Want, anonymous, check, tries, web};

/// The certificates, none being none at all, and the names of their alerts: OpenSSL's, Java's and Node's, then Go's.
const REFUSED: [(&str, [&str; 2]); 5] = [
    ("expired", ["certificate expired", "expired certificate"]),
    ("revoked", ["certificate revoked", "revoked certificate"]),
    ("wrong-eku", ["unsupported certificate", "unsupported certificate"]),
    ("other-ca", ["unknown ca", "unknown certificate authority"]),
    ("none", ["certificate required", "certificate required"]),
];

#[tokio::test]
async fn every_client_is_told_why_its_certificate_was_refused() -> Result<()> {
    let suite = suite::shared().await?;
    let path = web(&suite, "alerts").await?;
    let mut cases = Vec::new();
    for (certificate, _) in REFUSED {
        let get = match certificate {
            "none" => anonymous(&suite, &path),
            _ => anonymous(&suite, &path).certificate(&suite.certs().join("clients"), certificate),
        };
        let put = get.clone().with("method", "PUT").with("type", "application/json");
        let put = put.with("body", "length").with("size", 60_000);
        for (name, attempt) in [("GET", get), ("PUT of 60 kB", put)] {
            let name = format!("{name} with certificate {certificate}");
            cases.push(Case { name, attempt: attempt.tries(tries()), want: Want::Alert(certificate) });
        }
    }
    check("refused handshakes", &cases).await
}

/// Whether a client's error names the alert for `certificate`.
pub(super) fn names_alert(language: &str, certificate: &str, error: &str) -> bool {
    // Java shows no certificate where none of the gateway's authorities has signed it.
    let alert = if (language, certificate) == ("Java", "other-ca") { "none" } else { certificate };
    let error = error.to_lowercase().replace('_', " ");
    REFUSED.iter().any(|(name, words)| *name == alert && words.iter().any(|words| error.contains(words)))
}
