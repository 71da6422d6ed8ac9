//! Spans for an OpenTelemetry collector, over OTLP.

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use thiserror::Error;

use super::{TraceContext, TraceId};

/// How long the end of the process waits for spans that were not sent yet.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Why no spans can be exported.
#[derive(Debug, Error)]
#[error("traces.endpoint: {0}")]
pub struct TraceError(#[from] ExporterBuildError);

/// Where finished spans go: to a collector in the background, or nowhere. Clones share one queue, and spans that it has no
/// room for are dropped.
#[derive(Debug, Clone, Default)]
pub struct Spans(Option<Arc<Exporting>>);

#[derive(Debug)]
struct Exporting {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// The share of the traces begun here that is sampled.
    ratio: f64,
}

/// Something that a span may be made of once it has ended.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// What is caused by it belongs to this span: its own, or where spans are not exported, its parent.
    pub context: Option<TraceContext>,
    parent: Option<TraceContext>,
    /// When it began; `None` where no span is made.
    at: Option<SystemTime>,
}

impl Spans {
    /// Exports the spans of `gateway` to the collector at `endpoint`; of the traces that begin here, `ratio` is sampled, 0 to
    /// 1. Must run within tokio's runtime.
    ///
    /// # Errors
    ///
    /// When the endpoint is not one; whether anybody is there is not known.
    pub fn start(endpoint: &str, ratio: f64, gateway: &str) -> Result<Self, TraceError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let names = [
            KeyValue::new("service.name", "scalegate"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", gateway.to_owned()),
        ];
        processor.set_resource(&Resource::builder().with_attributes(names).build());
        let scope = InstrumentationScope::builder("scalegate").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self(Some(Arc::new(Exporting { processor, scope, ratio }))))
    }

    /// Begins what `parent` causes, or a trace. A span is made of it if the trace is sampled, which is for its first span
    /// to say.
    pub fn begin(&self, parent: Option<TraceContext>) -> Started {
        let Some(exporting) = &self.0 else { return Started { context: parent, parent: None, at: None } };
        let is_sampled = parent.map_or_else(|| fastrand::f64() < exporting.ratio, |parent| parent.is_sampled);
        let new = || TraceId(NonZeroU128::MIN | fastrand::u128(..));
        let context = TraceContext {
            trace: parent.map_or_else(new, |parent| parent.trace),
            span: NonZeroU64::MIN | fastrand::u64(..),
            is_sampled,
        };
        Started { context: Some(context), parent, at: is_sampled.then(SystemTime::now) }
    }

    /// Ends it. `failure` says why it failed, if it did.
    pub fn end(
        &self,
        started: Started,
        name: &'static str,
        kind: SpanKind,
        failure: Option<&'static str>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) {
        let (Some(exporting), Some(context), Some(start_time)) = (&self.0, started.context, started.at) else { return };
        let span_id = |context: TraceContext| SpanId::from(context.span.get());
        exporting.processor.on_end(SpanData {
            span_context: SpanContext::new(
                context.trace.0.get().into(),
                span_id(context),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: started.parent.map_or(SpanId::INVALID, span_id),
            parent_span_is_remote: kind == SpanKind::Server,
            span_kind: kind,
            name: name.into(),
            start_time,
            end_time: SystemTime::now(),
            attributes: attributes(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: failure.map_or(Status::Unset, Status::error),
            instrumentation_scope: exporting.scope.clone(),
        });
    }

    /// Sends what was not sent yet. It blocks for a moment.
    pub fn close(&self) {
        if let Some(exporting) = &self.0
            && let Err(error) = exporting.processor.shutdown_with_timeout(LAST_SPANS)
        {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}
