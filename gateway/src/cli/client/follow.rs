//! Follows changes through as many streams as it takes: a gateway ends each of them sooner or later.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::connection::Connection;
use super::error::{ClientError, Problem};
use super::events::{Parser, ServerSent};
use super::order::Order;

/// How long a stream may be silent: gateways show a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The pause before the next stream, unless the gateway names another.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest pause that a gateway may name: none would be a flood of requests.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that a gateway may name.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a new stream may be refused after an old one ended: as long as a gateway takes to be replaced.
const RETURN: Duration = Duration::from_mins(1);

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// A new stream begins, with everything that there is.
    Begun,
    /// A Deployment, as it is now.
    Replicas(Value),
    /// A Deployment that is gone, or that may no longer be seen.
    Gone(Value),
    /// Everything that there is has been shown.
    Synced(Value),
}

/// A follower of one request for a stream.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    connection: &'a Connection,
    order: Order,
    stream: Option<Incoming>,
    parser: Parser,
    /// What was read and not yet given.
    events: VecDeque<ServerSent>,
    /// When the last stream ended, unless none has begun.
    ended: Option<Instant>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(connection: &'a Connection, order: Order) -> Self {
        let (parser, events) = (Parser::default(), VecDeque::new());
        Self { connection, order, stream: None, parser, events, ended: None }
    }

    /// What happens next. An error is one that another stream would end with too.
    pub(super) async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if self.stream.is_none() {
                self.begin().await?;
                return Ok(Event::Begun);
            }
            let Some(event) = self.events.pop_front() else {
                self.read().await;
                continue;
            };
            match event.name.as_str() {
                "replicas" => return Ok(Event::Replicas(event.data)),
                "gone" => return Ok(Event::Gone(event.data)),
                "synced" => return Ok(Event::Synced(event.data)),
                "end" => self.end(event.data)?,
                // A heartbeat, or an event of a later gateway.
                _ => {}
            }
        }
    }

    async fn begin(&mut self) -> Result<(), ClientError> {
        if self.ended.is_some() {
            sleep(pause(self.parser.retry)).await;
        }
        let stream = loop {
            match self.connection.open(&self.order).await {
                Ok(stream) => break stream,
                Err(error) if self.may_return(&error) => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        };
        self.stream = Some(stream);
        self.parser = Parser::default();
        self.events.clear();
        Ok(())
    }

    /// Returns whether a gateway may only be on its way back.
    fn may_return(&self, error: &ClientError) -> bool {
        error.may_pass() && self.ended.is_some_and(|ended| ended.elapsed() < RETURN)
    }

    /// Reads the next part of the stream. Its end without a reason is like one with a reason that passes.
    async fn read(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let part = match timeout(SILENCE, stream.frame()).await {
            Ok(Some(Ok(frame))) => frame.into_data().ok(),
            _ => None,
        };
        match part.map(|bytes| self.parser.push(&bytes)) {
            Some(Ok(events)) => self.events.extend(events),
            _ => self.leave(),
        }
    }

    fn leave(&mut self) {
        self.stream = None;
        self.ended = Some(Instant::now());
    }

    fn end(&mut self, document: Value) -> Result<(), ClientError> {
        self.leave();
        let problem = Problem::of_stream(document);
        match problem.code() {
            "draining" | "policy_changed" | "deadline_exceeded" => Ok(()),
            _ => Err(ClientError::Problem(problem)),
        }
    }
}

/// How long to wait before the next stream, where the gateway may have named a pause.
fn pause(named: Option<Duration>) -> Duration {
    named.unwrap_or(PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_names_no_pause_that_is_too_short_or_too_long() {
        assert_eq!(pause(None), PAUSE);
        assert_eq!(pause(Some(Duration::from_millis(700))), Duration::from_millis(700));
        assert_eq!((pause(Some(Duration::ZERO)), pause(Some(Duration::MAX))), (SHORTEST_PAUSE, LONGEST_PAUSE));
    }
}
