//! What to do next, after each kind of failure.

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error as TlsError};

/// After a problem with this code.
pub(super) fn of_problem(code: &str) -> &'static str {
    match code {
        "refused" => {
            "the reasons say why; for more rights, ask the platform team; `scalegate whoami` shows who you are"
        }
        "identity_refused" => {
            "have the certificate issued again as the message says; `scalegate whoami` shows what it says"
        }
        "deployment_not_found" => "check the name: `scalegate list -A` shows what you may see",
        "no_such_route" => "the gateway may be older than this client: compare with `scalegate version`",
        "owned_by_autoscaler" => "change what the message names, instead of the count",
        "version_mismatch" | "conflict" => "read it with `scalegate get -o wide`, and decide again",
        "narrow_it" => "name a namespace with -n, or labels with -l",
        "too_many_requests" | "rate_limited" => {
            "ask less often: `scalegate watch` follows changes, and `set --wait` waits for one"
        }
        "policy_unavailable" => "try again; if it stays, give the decisionId to the gateway's operators",
        "audit_unavailable" | "busy" | "cache_stale" | "draining" | "policy_changed" | "version_not_reached" => {
            "try again in a few seconds"
        }
        "kubernetes_unavailable" | "deadline_exceeded" | "request_timeout" => {
            "read it with `scalegate get`, and try again if it did not change"
        }
        "internal" | "write_rejected" => "give the requestId to the gateway's operators",
        _ => "",
    }
}

/// After the gateway refused the certificate, which ends at this instant if it can be read.
pub(super) fn of_alert(alert: AlertDescription, not_after: Option<Timestamp>) -> String {
    let ended = not_after.map_or(String::new(), |end| format!(": it ended at {end:.0}"));
    let advice = match alert {
        AlertDescription::CertificateExpired => return format!("have the certificate renewed{ended}"),
        AlertDescription::CertificateRevoked => "the certificate was revoked: have a new one issued",
        AlertDescription::UnknownCA => {
            "the gateway does not trust the certificate's issuer: is the certificate for this gateway?"
        }
        AlertDescription::UnsupportedCertificate => {
            "have the certificate issued for client authentication (extended key usage clientAuth)"
        }
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown | AlertDescription::DecryptError => {
            "have the certificate issued again"
        }
        AlertDescription::CertificateRequired => "give the certificate with --cert and its key with --key",
        AlertDescription::AccessDenied => "the gateway's operators deny this client: ask them",
        AlertDescription::ProtocolVersion => "is --server a scalegate gateway? It speaks TLS 1.3",
        _ => "",
    };
    advice.to_owned()
}

/// After this client refused the server.
pub(super) fn of_tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(reason) => of_server_certificate(reason),
        TlsError::InvalidMessage(_) => {
            "the port does not speak TLS: is --server right, and is there a proxy in between?"
        }
        _ => "is --server a scalegate gateway? It speaks TLS 1.3",
    }
}

fn of_server_certificate(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is --ca (SCALEGATE_CA) the CA of the gateway's certificate, and --server (SCALEGATE_SERVER) the gateway?"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "ask the gateway's operators to renew its certificate, and check this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "check this machine's clock",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use a name in --server (SCALEGATE_SERVER) that the gateway's certificate has"
        }
        _ => "ask the gateway's operators for another certificate",
    }
}

/// After no connection could be made.
pub(super) fn of_connecting(cause: &str) -> &'static str {
    if cause.contains("lookup") || cause.contains("resolve") {
        return "is the name in --server (SCALEGATE_SERVER, or the context's) right?";
    }
    "is the gateway running, and is --server (SCALEGATE_SERVER, or the context's) its address?"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes that docs/errors.md has rows for.
    fn codes() -> Vec<&'static str> {
        let page = include_str!("../../../../docs/errors.md");
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
    }

    #[test]
    fn each_code_is_known_here_or_explains_itself() {
        let of_request = |code: &str| {
            code.starts_with("invalid_") || code.starts_with("unexpected_") || code.starts_with("unsupported_")
        };
        let self_explaining = [
            "cross_site",
            "body_too_large",
            "not_implemented",
            "method_not_allowed",
            "expectation_failed",
            "http2_required",
            "idempotency_key_reused",
        ];
        let codes = codes();
        assert!(codes.len() > 20, "{codes:?}");
        for code in codes.into_iter().filter(|code| !of_request(code) && !self_explaining.contains(code)) {
            assert!(!of_problem(code).is_empty(), "{code}");
        }
    }

    #[test]
    fn advice_says_what_to_do_next() {
        let advised = codes().into_iter().filter(|code| !of_problem(code).is_empty());
        let of_codes = advised.map(|code| format!("{code}: {}\n", of_problem(code)));
        let alerts = [
            AlertDescription::AccessDenied,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateExpired,
            AlertDescription::CertificateRequired,
            AlertDescription::CertificateRevoked,
            AlertDescription::CertificateUnknown,
            AlertDescription::DecryptError,
            AlertDescription::ProtocolVersion,
            AlertDescription::UnknownCA,
            AlertDescription::UnsupportedCertificate,
        ];
        let of_alerts = alerts.map(|alert| format!("{alert:?}: {}\n", of_alert(alert, None)));
        insta::assert_snapshot!("advice", of_codes.chain(of_alerts).collect::<String>());
    }

    #[test]
    fn an_expired_certificate_is_to_be_renewed() {
        let end = Timestamp::UNIX_EPOCH;
        let advice = of_alert(AlertDescription::CertificateExpired, Some(end));
        assert_eq!(advice, "have the certificate renewed: it ended at 1970-01-01T00:00:00Z");
    }
}
