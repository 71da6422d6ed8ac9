//! One request at whichever door: its id, its span, and what is logged and counted of it.

use std::time::Instant;

use http::{HeaderMap, HeaderName, StatusCode};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use tracing::Span;
use uuid::Uuid;

use crate::audit::Origin;
use crate::clients::{Account, Admission};
use crate::identity::IdentityError;
use crate::ids;
use crate::listener::Peer;
use crate::policy::Caller;
use crate::trace::{Spans, Started, TraceContext};

use super::error::Error;
use super::metrics::ApiMetrics;

/// The header that tells a client the id under which the log knows its request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where what is seen of requests goes.
#[derive(Debug, Clone)]
pub struct Observer {
    /// Counts them.
    pub metrics: ApiMetrics,
    /// Takes their spans.
    pub spans: Spans,
}

/// A request that is being answered.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) id: Uuid,
    trace: Started,
    /// None until [`Call::traced`].
    pub(super) span: Span,
    started: Instant,
}

impl Call {
    pub(super) fn begin(observer: &Observer, headers: &HeaderMap) -> Self {
        let trace = observer.spans.begin(TraceContext::of(headers));
        Self { id: ids::new(), trace, span: Span::none(), started: Instant::now() }
    }

    /// The same, with what its lines in the log say of it. An answer without such a line needs no span.
    pub(super) fn traced(self, method: &str, path: &str) -> Self {
        let span = tracing::info_span!(
            "request",
            request_id = %self.id,
            trace_id = self.trace.context.map(|context| tracing::field::display(context.trace())),
            decision_id = tracing::field::Empty,
            method = excerpt(method),
            path = excerpt(path),
        );
        Self { span, ..self }
    }

    /// Who sent it, and from where.
    pub(super) fn caller(&self, peer: &Peer, admission: &Admission) -> Result<Caller, IdentityError> {
        let (client, admission) = (peer.identity.clone()?, admission.clone());
        let origin = Origin { request_id: self.id, peer: peer.address, trace: self.trace.context };
        Ok(Caller { client, admission, origin })
    }

    /// Counts the answer to `account` under `route`, ends its span, and logs an error with its internal message.
    pub(super) fn ended(&self, account: &Account, observer: &Observer, route: &'static str, error: Option<&Error>) {
        let outcome = error.map_or("ok", |error| error.kind().code);
        observer.metrics.observe(route, outcome, self.started.elapsed());
        let failure = error.filter(|error| error.kind().http.is_server_error()).map(|_| outcome);
        observer.spans.end(self.trace, route, SpanKind::Server, failure, || {
            vec![
                KeyValue::new("scalegate.outcome", outcome),
                KeyValue::new("scalegate.request_id", self.id.to_string()),
                KeyValue::new("enduser.id", account.name().to_string()),
            ]
        });
        let Some(error) = error else { return };
        let _entered = self.span.enter();
        // A client that exceeds its bound must not fill the log too, nor one that goes on asking for what it may not.
        if matches!(error, Error::TooManyRequests | Error::RateLimited { .. } | Error::Full) || !account.may_log() {
            return;
        }
        let http = error.kind().http;
        // An unimplemented feature is not a gateway failure.
        let unserved = matches!(http, StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        if http.is_server_error() && !unserved {
            tracing::warn!(code = outcome, %error, "request failed");
        } else {
            tracing::info!(code = outcome, %error, "request refused");
        }
    }
}

/// Untrusted text for the log: escaped and cut.
fn excerpt(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_default).collect()
}
