//! Logs and metrics.

use std::borrow::Cow;
use std::fmt::Debug;
use std::io::{self, IsTerminal};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry as Spans, fmt};

use crate::config;
use crate::lines::{LineSettings, LineWriter, Lines, Output};
use crate::text::{escaped, escaped_except, escaped_json};

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
    let sink = move |shown| move || Sink { lines: lines.clone(), left_out: left_out.clone(), shown };
    let layer: Box<dyn Layer<Spans> + Send + Sync> = match settings.format {
        config::LogFormat::Json => Box::new(json(sink(Shown::Json))),
        config::LogFormat::Human => {
            let terminal = io::stdout().is_terminal();
            let shown = if terminal { Shown::Colours } else { Shown::Text };
            Box::new(fmt::layer().fmt_fields(plain_fields()).with_ansi(terminal).with_writer(sink(shown)))
        }
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    Ok(writer)
}

/// What a line is, which says how its values are escaped: they are others' text, and people read them on terminals.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Json,
    /// A newline in a value must not begin a line, which could be taken for another's.
    Text,
    /// Text with the escape sequences of the formatter; [`plain_fields`] leaves none in values.
    Colours,
}

impl Shown {
    fn escaped(self, line: &str) -> Cow<'_, str> {
        match self {
            Self::Json => escaped_json(line),
            Self::Text => escaped_except(line, &[]),
            Self::Colours => escaped_except(line, &['\u{1b}']),
        }
    }
}

/// Takes one line.
struct Sink {
    lines: Lines,
    left_out: Counter,
    shown: Shown,
}

impl io::Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        if self.lines.push(self.shown.escaped(&text).into_owned().into_bytes()).is_err() {
            self.left_out.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats fields as `name=value`, without escape sequences. The formatter's own form passes on those in values that are
/// logged by their `Display`.
fn plain_fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    let field = |writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        let value = format!("{value:?}");
        match field.name() {
            "message" => writer.write_str(&escaped(&value)),
            name => write!(writer, "{}={}", name.trim_start_matches("r#"), escaped(&value)),
        }
    };
    format::debug_fn(field).delimited(" ")
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

    /// A line in the human format that logs `value` as message and as a field.
    fn human(value: &str, terminal: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().fmt_fields(plain_fields()).with_ansi(terminal).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(plain = value, debug = ?value, shown = %value, "{value}");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let shown = if terminal { Shown::Colours } else { Shown::Text };
        shown.escaped(written.strip_suffix('\n').unwrap()).into_owned()
    }

    #[test]
    fn a_line_has_nothing_of_a_value_that_a_terminal_obeys() {
        let hostile = "\u{1b}]0;x\u{7}\u{1b}[2K\u{9b}31m\u{202e}\nnext";
        for terminal in [false, true] {
            let line = human(hostile, terminal);
            // Colours alone, of the formatter: digits and m.
            let mut rest = line.as_str();
            while let Some((_, after)) = rest.split_once('\u{1b}') {
                rest = after.strip_prefix('[').unwrap().trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
                assert!(terminal && rest.starts_with('m'), "{line:?}");
            }
            assert!(line.chars().all(|c| c == '\u{1b}' || !crate::text::invisible(c)), "{line:?}");
        }
        let json = serde_json::json!({ "value": hostile }).to_string();
        let shown = Shown::Json.escaped(&json);
        assert!(!shown.chars().any(crate::text::invisible), "{shown:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["value"], hostile);
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
