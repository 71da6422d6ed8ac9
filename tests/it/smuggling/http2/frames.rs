//! Frames in the wrong place or form.

use super::End::{Answer, GoAway, Reset};
use super::{Entry, FRAME_SIZE_ERROR, PROTOCOL_ERROR, STREAM, base, data, head};
use crate::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, RST_STREAM, SETTINGS, field};
use crate::smuggling::{GET, HIDDEN};

const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const UNKNOWN: u8 = 0xf0;
/// PADDED and PRIORITY as flags.
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Frame {
    Frame { kind, flags, stream, payload: payload.to_vec() }
}

pub(super) fn entries() -> Vec<Entry> {
    let get = || head(&base("GET"), END_STREAM);
    let protocol = GoAway(PROTOCOL_ERROR);
    let begun = || Frame { flags: END_STREAM, ..get() };
    let entry = |what: &str, frames: Vec<Frame>, end| Entry::frames(what, frames, end, &[]);
    let seen = |what: &str, frames: Vec<Frame>, end| Entry::frames(what, frames, end, &[GET]);
    vec![
        seen("a frame of an unknown kind", vec![frame(UNKNOWN, 0xff, 0, b"x"), get()], Answer(404)),
        seen(
            "an unknown frame on the stream",
            vec![frame(UNKNOWN, 0xff, STREAM, HIDDEN.as_bytes()), get()],
            Answer(404),
        ),
        seen("a priority", vec![frame(PRIORITY, 0, STREAM, &[0, 0, 0, 0, 1]), get()], Answer(404)),
        entry("a request on no stream", vec![Frame { stream: 0, ..get() }], protocol),
        entry("a request on a server's stream", vec![Frame { stream: 2, ..get() }], protocol),
        entry("a body on no stream", vec![Frame { stream: 0, ..data("x", END_STREAM) }], protocol),
        entry("a body without a request", vec![data("x", END_STREAM)], protocol),
        entry("a reset without a request", vec![frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 8])], protocol),
        entry("a window without a request", vec![frame(WINDOW_UPDATE, 0, STREAM, &[0, 0, 0, 8])], protocol),
        entry("a continuation of nothing", vec![frame(CONTINUATION, END_HEADERS, STREAM, &field("x", "y"))], protocol),
        entry("a ping within a head", vec![begun(), frame(PING, 0, 0, &[0; 8])], protocol),
        entry("a body within a head", vec![begun(), data("x", 0)], protocol),
        entry(
            "a continuation of another stream",
            vec![begun(), frame(CONTINUATION, END_HEADERS, 3, &field("x", "y"))],
            protocol,
        ),
        entry("another request within a head", vec![begun(), Frame { stream: 3, ..get() }], protocol),
        entry("an unknown frame within a head", vec![begun(), frame(UNKNOWN, 0, STREAM, b"x")], protocol),
        entry("a promise", vec![frame(PUSH_PROMISE, END_HEADERS, STREAM, &[0, 0, 0, 2])], protocol),
        entry("padding longer than the frame", vec![frame(DATA, PADDED, STREAM, &[9, 0])], protocol),
        entry(
            "padding longer than the head",
            vec![frame(HEADERS, PADDED | END_HEADERS | END_STREAM, STREAM, &[200, 0])],
            protocol,
        ),
        entry(
            "a head that depends on itself",
            vec![frame(HEADERS, PRIORITIZED | END_HEADERS | END_STREAM, STREAM, &[0, 0, 0, 1, 0])],
            Reset(PROTOCOL_ERROR),
        ),
        entry("field 0", vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0x80])], protocol),
        entry(
            "a field that no table has",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0xff, 0x7f])],
            protocol,
        ),
        entry(
            "a table that is too large",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0x3f, 0xff, 0xff, 0x7f])],
            protocol,
        ),
        entry(
            "a field that is cut short",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0, 5, b'x'])],
            protocol,
        ),
        entry(
            "wrong Huffman code",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff])],
            protocol,
        ),
        entry("a number without an end", vec![frame(HEADERS, END_HEADERS | END_STREAM, STREAM, &[0xff; 16])], protocol),
        entry("settings of five bytes", vec![frame(SETTINGS, 0, 0, &[0; 5])], protocol),
        entry("settings of a stream", vec![frame(SETTINGS, 0, STREAM, &[])], protocol),
        entry("a ping of seven bytes", vec![frame(PING, 0, 0, &[0; 7])], protocol),
        entry("a reset of three bytes", vec![frame(RST_STREAM, 0, STREAM, &[0; 3])], protocol),
        entry("a window of nothing", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])], protocol),
        entry("a large frame", vec![frame(UNKNOWN, 0, 0, &[0; 16_385])], GoAway(FRAME_SIZE_ERROR)),
    ]
}
