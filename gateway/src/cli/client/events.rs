//! Server-Sent Events (WHATWG HTML, section 9.2), as far as the gateway sends them.

use std::time::Duration;

use serde_json::Value;

/// The most bytes of one event: an answer with the longest names and reasons stays far below.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ServerSent {
    /// Its name, such as `replicas`.
    pub(super) name: String,
    pub(super) data: Value,
}

/// Why a stream cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoEvents;

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// What has arrived of the next line.
    rest: Vec<u8>,
    name: String,
    data: String,
    /// How long to wait before the next stream, once the server said so.
    pub(super) retry: Option<Duration>,
}

impl Parser {
    /// The events that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<ServerSent>, NoEvents> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.rest);
                    events.extend(self.line(&String::from_utf8_lossy(&line))?);
                }
                byte => self.rest.push(*byte),
            }
        }
        let size = self.rest.len() + self.data.len();
        if size > MAX_EVENT_BYTES { Err(NoEvents) } else { Ok(events) }
    }

    fn line(&mut self, line: &str) -> Result<Option<ServerSent>, NoEvents> {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => self.data.push_str(value),
            "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
            // A comment, or a field of a later gateway.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Result<Option<ServerSent>, NoEvents> {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        if data.is_empty() {
            return Ok(None);
        }
        let data = serde_json::from_str(&data).map_err(|_| NoEvents)?;
        Ok(Some(ServerSent { name, data }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    const STREAM: &str = "event: replicas\ndata: {\"name\":\"web\"}\n\n: a comment\n\nevent: synced\ndata: {\"undecided\":0}\n\n\
                          retry: 700\nevent: end\ndata: {\"code\":\"draining\"}\n\n";

    fn events() -> Vec<ServerSent> {
        let event = |name: &str, data| ServerSent { name: name.to_owned(), data };
        vec![
            event("replicas", json!({"name": "web"})),
            event("synced", json!({"undecided": 0})),
            event("end", json!({"code": "draining"})),
        ]
    }

    #[test]
    fn events_are_the_same_however_their_bytes_arrive() {
        for size in [1, 7, STREAM.len()] {
            let mut parser = Parser::default();
            let found: Vec<_> = STREAM.as_bytes().chunks(size).flat_map(|part| parser.push(part).unwrap()).collect();
            assert_eq!(found, events(), "{size} bytes at a time");
            assert_eq!(parser.retry, Some(Duration::from_millis(700)));
        }
        let lines = STREAM.replace('\n', "\r\n");
        assert_eq!(Parser::default().push(lines.as_bytes()).unwrap(), events());
    }

    #[test]
    fn what_is_no_event_ends_the_stream() {
        assert_eq!(Parser::default().push(b"event: x\ndata: {\n\n"), Err(NoEvents));
        assert_eq!(Parser::default().push(&vec![b'x'; MAX_EVENT_BYTES + 1]), Err(NoEvents));
        assert_eq!(Parser::default().push(b"<html>\n"), Ok(Vec::new()));
    }
}
