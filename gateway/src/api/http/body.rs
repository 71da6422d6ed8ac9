//! The body of one request. How much of it was read decides what its connection is good for afterwards.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{Version, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use crate::api::error::Error;

/// How long an answer waits for more of a body that nobody wants, and for all of it.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How much of it is read, in bytes.
const MAX_REST: usize = 4 << 20;

/// A body that is being read.
pub(super) struct RequestBody<B> {
    body: B,
    /// What the client waits for before it sends the body.
    expectation: Expectation,
    progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expectation {
    Nothing,
    /// `100 Continue`, which hyper sends over HTTP/1.1 once the body is read.
    Continue,
    /// What cannot be given: hyper has no `100 Continue` over HTTP/2, and nobody has anything else.
    Unmet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    Begun,
    Complete,
    /// Its framing is broken: where the next request would begin is not known.
    Broken,
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: StdError + Send + Sync + 'static,
{
    pub(super) fn new(head: &Parts, body: B) -> Self {
        let progress = if body.is_end_stream() { Progress::Complete } else { Progress::Untouched };
        Self { expectation: Expectation::of(head), progress, body }
    }

    /// Whether all of it was read.
    pub(super) fn is_complete(&self) -> bool {
        self.progress == Progress::Complete
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Bytes, Error> {
        self.check_expectation()?;
        if self.least() > limit as u64 {
            return Err(Error::BodyTooLarge { limit });
        }
        let mut bytes = BytesMut::new();
        while let Some(data) = self.data().await? {
            if bytes.len() + data.len() > limit {
                return Err(Error::BodyTooLarge { limit });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    /// Refuses a body where none is read. One without a byte is none, however it is framed.
    pub(super) async fn none(&mut self) -> Result<(), Error> {
        self.check_expectation()?;
        let mut found = self.least() > 0;
        while !found && let Some(data) = self.data().await? {
            found = !data.is_empty();
        }
        if found { Err(Error::invalid("unexpected_body", "this method takes no body")) } else { Ok(()) }
    }

    /// Reads what is left, while more comes within [`REST`], and [`MAX_REST`] bytes at most. An answer that overtakes its
    /// request's body ends the HTTP/1.1 connection, and resets the HTTP/2 stream (RFC 9113, section 8.1); several clients
    /// then report the reset and not the answer.
    pub(super) async fn discard(&mut self) {
        let waits = self.expectation != Expectation::Nothing && self.progress == Progress::Untouched;
        if waits || self.least() > MAX_REST as u64 {
            return;
        }
        let rest = async {
            let mut left = MAX_REST;
            while let Ok(Ok(Some(data))) = timeout(REST.0, self.data()).await
                && data.len() <= left
            {
                left -= data.len();
            }
        };
        // Where time or bytes run out, `is_complete` says so.
        let _ = timeout(REST.1, rest).await;
    }

    /// How many bytes are still to come, at least.
    fn least(&self) -> u64 {
        self.body.size_hint().lower()
    }

    fn check_expectation(&self) -> Result<(), Error> {
        match self.expectation {
            Expectation::Unmet if !self.is_complete() => Err(Error::ExpectationFailed),
            Expectation::Nothing | Expectation::Continue | Expectation::Unmet => Ok(()),
        }
    }

    /// The next data; `None` at the end.
    async fn data(&mut self) -> Result<Option<Bytes>, Error> {
        while !matches!(self.progress, Progress::Complete | Progress::Broken) {
            self.progress = Progress::Begun;
            match self.body.frame().await {
                None => self.progress = Progress::Complete,
                Some(Err(error)) => {
                    self.progress = Progress::Broken;
                    return Err(Error::invalid("invalid_body", format!("the body ended early: {error}")));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl Expectation {
    fn of(head: &Parts) -> Self {
        let mut values = head.headers.get_all(EXPECT).iter().peekable();
        // RFC 9110, section 10.1.1: it is ignored in a request of HTTP/1.0.
        if values.peek().is_none() || head.version < Version::HTTP_11 {
            Self::Nothing
        } else if head.version == Version::HTTP_11
            && values.all(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        {
            Self::Continue
        } else {
            Self::Unmet
        }
    }
}
