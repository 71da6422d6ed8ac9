//! The bodies of answers.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::activity::Sending;

/// What ends a streamed body early.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The most of a whole body that is handed over at once, in bytes: the rest is as far as the client has read.
const PIECE: usize = 32 << 10;

/// The body of an answer: all of it, or a stream of its parts.
#[derive(Debug)]
pub enum ResponseBody {
    /// All of it.
    Whole(Bytes),
    /// Part by part. Its connection counts as busy until it ends, and no timeout of a request applies to it.
    Stream(UnsyncBoxBody<Bytes, BodyError>),
}

impl ResponseBody {
    /// A body that is sent part by part.
    pub fn stream<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
    {
        Self::Stream(body.map_err(Into::into).boxed_unsync())
    }
}

impl Default for ResponseBody {
    /// An empty body.
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(rest) if rest.is_empty() => Poll::Ready(None),
            Self::Whole(rest) => Poll::Ready(Some(Ok(Frame::data(rest.split_to(rest.len().min(PIECE)))))),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(rest) => rest.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

impl ResponseBody {
    /// Whether it is sent in several parts.
    pub(super) fn is_long(&self) -> bool {
        match self {
            Self::Whole(rest) => rest.len() > PIECE,
            Self::Stream(_) => true,
        }
    }
}

/// A body that keeps something until it was sent, and notes how far a long one has been sent.
pub(super) struct Keeping<T> {
    pub(super) body: ResponseBody,
    pub(super) sending: Option<Sending>,
    pub(super) _kept: T,
}

impl<T: Unpin> Body for Keeping<T> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Some(sending) = &this.sending {
            match &frame {
                Poll::Ready(_) => sending.handed_over(),
                Poll::Pending => sending.asked(),
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_whole_body_is_handed_over_in_pieces() {
        let whole: Bytes = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let (mut body, mut pieces) = (ResponseBody::from(whole.clone()), Vec::new());
        while let Some(frame) = body.frame().now_or_never().unwrap() {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE) && body.is_end_stream());
        assert_eq!(pieces.concat(), whole);
    }
}
