//! The one message of a unary request, read to its end before anything is done: a second one would be ignored.

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};

use crate::api::error::Error;

/// The flag and the length in front of a message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

/// The message of `body` with its prefix, of at most `limit` bytes without it.
pub(super) async fn only<B>(mut body: B, limit: usize) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreadable(format!("it broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        read.extend_from_slice(&data);
        match length(&read) {
            Some(length) if length > limit => return Err(Error::BodyTooLarge { limit }),
            Some(length) if read.len() - PREFIX_BYTES > length => {
                return Err(unreadable("there is more than one message"));
            }
            _ => {}
        }
    }
    match length(&read) {
        Some(length) if length == read.len() - PREFIX_BYTES => Ok(read.into()),
        Some(_) => Err(unreadable("it is shorter than its prefix says")),
        None if read.is_empty() => Err(unreadable("there is none")),
        None => Err(unreadable("its prefix is cut short")),
    }
}

/// What the prefix says, once it is there.
fn length(read: &[u8]) -> Option<usize> {
    let (_, length) = read.first_chunk::<PREFIX_BYTES>()?.split_first_chunk::<1>()?;
    usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()
}

/// A message that is none.
pub(super) fn unreadable(wrong: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_body", format!("the request's message cannot be read: {wrong}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use http_body_util::Full;

    use super::*;

    async fn read(bytes: &'static [u8]) -> Result<Bytes, Error> {
        only(Full::new(Bytes::from_static(bytes)), 4).await
    }

    #[tokio::test]
    async fn a_request_has_one_whole_message_within_the_limit() {
        assert_eq!(read(b"\0\0\0\0\0").await.unwrap().len(), 5);
        assert_eq!(read(b"\0\0\0\0\x04abcd").await.unwrap().len(), 9);
        for bytes in [&b""[..], b"\0\0", b"\0\0\0\0\x02a", b"\0\0\0\0\x01ab", b"\0\0\0\0\0\0\0\0\0\0"] {
            assert_eq!(read(bytes).await.unwrap_err().kind().code, "invalid_body", "{bytes:?}");
        }
        for bytes in [&b"\0\0\0\0\x05"[..], b"\0\xff\xff\xff\xffabc"] {
            assert_eq!(read(bytes).await.unwrap_err().kind().code, "body_too_large", "{bytes:?}");
        }
    }
}
