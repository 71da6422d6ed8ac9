//! Logs and metrics.

use std::io::{self, IsTerminal};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry as Spans, fmt};

use crate::config;
use crate::lines::{LineSettings, LineWriter, Lines, Output};

/// The bytes of log lines that may wait to be written.
const QUEUE_BYTES: usize = 4 << 20;

/// Why nothing can be logged.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter is none.
    #[error("log.filter: {0}")]
    Filter(#[from] ParseError),
    /// The thread that writes does not start.
    #[error("the log's thread cannot be started")]
    Thread(#[from] io::Error),
    /// Logging was set up before.
    #[error("logging is set up already: {0}")]
    Again(#[from] TryInitError),
}

/// Logs to standard output from now on, one line an event.
///
/// A line holds the fields of the span that it was logged in, so that each line of a request tells its id.
/// A line that there is no room for is left out and counted: an output that nobody reads stops nobody's work.
pub fn init_logging(settings: &config::Log, registry: &mut Registry) -> Result<LineWriter, LogError> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let left_out = Counter::default();
    let help = "Log lines that were left out, because nobody reads the output or writing to it failed";
    registry.register("log_lines_left_out", help, left_out.clone());
    let (lines, writer) = Lines::start(LineSettings {
        name: "log",
        output: Output::Stdout,
        capacity_bytes: QUEUE_BYTES,
        lost: left_out.clone(),
        report: |_| {},
    })?;
    let sink = move || Sink { lines: lines.clone(), left_out: left_out.clone() };
    let layer: Box<dyn Layer<Spans> + Send + Sync> = match settings.format {
        config::LogFormat::Json => Box::new(json(sink)),
        config::LogFormat::Human => Box::new(fmt::layer().with_ansi(io::stdout().is_terminal()).with_writer(sink)),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    Ok(writer)
}

/// Takes one line.
struct Sink {
    lines: Lines,
    left_out: Counter,
}

impl io::Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        // A value with a newline in it must not begin a line, which could be taken for another's.
        let text = text.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\\n"[..]);
        if self.lines.push(text).is_err() {
            self.left_out.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn json<W>(writer: W) -> impl Layer<Spans> + Send + Sync
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).with_writer(writer)
}

/// A registry for all metrics of the process, which begin with `scalegate_`.
///
/// It already tells the build: `scalegate_build_info{version="…"} 1`.
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("scalegate");
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version that runs", build);
    registry
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_json_line_holds_its_own_fields_and_those_of_its_request() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(json(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let request = tracing::info_span!("request", request_id = "r1", decision_id = tracing::field::Empty);
            let _entered = request.enter();
            request.record("decision_id", "d1");
            tracing::info!(replicas = 3, "decided");
        });
        let written = lines.0.lock().unwrap().clone();
        let line: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(line["message"], "decided");
        assert_eq!(line["replicas"], 3);
        assert_eq!(line["span"]["request_id"], "r1");
        assert_eq!(line["span"]["decision_id"], "d1");
    }

    #[test]
    fn the_build_is_a_metric() {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry()).unwrap();
        assert!(
            text.contains(concat!("scalegate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")),
            "{text}"
        );
    }
}
