//! The blocks of a PEM file (RFC 7468), and the text between them.
//!
//! A parser that looks for blocks passes over whatever is not quite one, and with it a CA, or the list that revokes
//! somebody. So each line that may be meant to begin or end a block must do so exactly.

use thiserror::Error;

/// One PEM block, including its BEGIN and END lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    /// The number of its first line, from 1.
    pub(super) line: usize,
    pub(super) text: &'a [u8],
}

/// Why the blocks of a file are not clear.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PemFault {
    /// A line is almost a marker.
    #[error(
        "it resembles a BEGIN or END line but is not exactly one: it must stand at the beginning of a line of its own, \
         with five dashes on either side, such as `-----BEGIN CERTIFICATE-----`"
    )]
    Marker,
    /// A block does not end.
    #[error("no `-----END {0}-----` follows this BEGIN line")]
    Open(String),
    /// The end of a block that did not begin.
    #[error("no `-----BEGIN {0}-----` belongs to this END line")]
    Unopened(String),
    /// Base64 outside of blocks.
    #[error("base64 outside a block: no BEGIN line precedes it")]
    Stray,
    /// Binary content.
    #[error("it contains a NUL byte; the file must be PEM text, not DER or UTF-16")]
    Binary,
}

impl Block<'_> {
    /// The first byte of its content that is not base64, and the number of its line.
    pub(super) fn no_base64(&self) -> Option<(usize, char)> {
        let inner = |byte: &u8| is_base64_byte(*byte) || byte.is_ascii_whitespace();
        let content = Lines::of(self.text).filter(|line| line.marker().is_none());
        let mut wrong = content.filter_map(|line| Some((line.number, *line.text.iter().find(|byte| !inner(byte))?)));
        wrong.next().map(|(number, byte)| (self.line + number - 1, char::from(byte)))
    }
}

/// A line, and what is wrong with it.
pub(super) type FaultyLine = (usize, PemFault);

/// All blocks of `pem`, of whatever kind; an error names the first line that leaves a doubt.
pub(super) fn blocks(pem: &[u8]) -> Result<Vec<Block<'_>>, FaultyLine> {
    let mut blocks = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for line in Lines::of(pem) {
        match line.content() {
            Content::Begin(label) => {
                if let Some(before) = open.replace(Open { label, line: line.number, start: line.start }) {
                    return Err(before.fault());
                }
            }
            Content::End(label) => match open.take() {
                Some(begun) if begun.label == label => {
                    let text = &pem[begun.start..line.start + line.text.len()];
                    blocks.push(Block { label, line: begun.line, text });
                }
                Some(begun) => return Err(begun.fault()),
                None => return Err((line.number, PemFault::Unopened(label.to_owned()))),
            },
            Content::Fault(fault) => return Err((line.number, fault)),
            Content::Base64 if open.is_none() => return Err((line.number, PemFault::Stray)),
            Content::Base64 | Content::Text => {}
        }
    }
    open.map_or(Ok(blocks), |begun| Err(begun.fault()))
}

/// A block that has begun.
struct Open<'a> {
    label: &'a str,
    line: usize,
    start: usize,
}

impl Open<'_> {
    fn fault(&self) -> FaultyLine {
        (self.line, PemFault::Open(self.label.to_owned()))
    }
}

enum Content<'a> {
    Begin(&'a str),
    End(&'a str),
    Fault(PemFault),
    /// The beginning of DER, which is a sequence, or something like it.
    Base64,
    Text,
}

/// A line without its end, where it starts, and its number.
struct Line<'a> {
    number: usize,
    start: usize,
    text: &'a [u8],
}

impl<'a> Line<'a> {
    fn content(&self) -> Content<'a> {
        if self.text.contains(&0) {
            return Content::Fault(PemFault::Binary);
        }
        if self.text.contains(&b'-') {
            return self.marker().unwrap_or(if self.resembles_marker() {
                Content::Fault(PemFault::Marker)
            } else {
                Content::Text
            });
        }
        if is_base64(self.text.trim_ascii()) { Content::Base64 } else { Content::Text }
    }

    /// Blanks may follow, which the parser reads over as well.
    fn marker(&self) -> Option<Content<'a>> {
        let line = std::str::from_utf8(self.text).ok()?.trim_end_matches(' ');
        let inner = line.strip_prefix("-----")?.strip_suffix("-----")?;
        let is_label = |label: &str| {
            let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ';
            !label.is_empty() && label.trim() == label && label.bytes().all(allowed)
        };
        let (label, content): (_, fn(&'a str) -> Content<'a>) = match inner.strip_prefix("BEGIN ") {
            Some(label) => (label, Content::Begin),
            None => (inner.strip_prefix("END ")?, Content::End),
        };
        is_label(label).then(|| content(label))
    }

    fn resembles_marker(&self) -> bool {
        let visible = self.text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(u8::to_ascii_uppercase);
        let line = String::from_utf8_lossy(&visible.collect::<Vec<_>>()).into_owned();
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        let named = has(&["BEGIN", "END"]) && has(&["CERTIFICATE", "CRL", "KEY"]);
        has(&["---BEGIN", "---END"]) || (named && line.contains("---"))
    }
}

/// Lines as the parser of blocks has them, which takes a carriage return for an end too.
struct Lines<'a> {
    pem: &'a [u8],
    start: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    fn of(pem: &'a [u8]) -> Self {
        Self { pem, start: 0, number: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.start;
        let rest = self.pem.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
        self.number += 1;
        self.start += length + if rest[length..].starts_with(b"\r\n") { 2 } else { 1 };
        Some(Line { number: self.number, start, text: &rest[..length] })
    }
}

/// Whether a line can be the first of a block's content: the first byte of a sequence in DER is 0x30.
fn is_base64(line: &[u8]) -> bool {
    const SHORTEST: usize = 32;
    line.len() >= SHORTEST && line.starts_with(b"M") && line.iter().copied().all(is_base64_byte)
}

fn is_base64_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}
