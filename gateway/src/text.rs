//! Makes untrusted text safe to store and show: cuts it to a length, and escapes characters that a terminal interprets
//! or that hide or reorder their neighbours.

use std::borrow::Cow;
use std::fmt::Write;

/// Marks that text was cut.
pub const MARK: char = '…';

/// Whether `c` is a control character, or one of Unicode's characters that are invisible or hide or reorder others.
pub fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` itself if it has `most` bytes at most, else its beginning and [`MARK`].
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    cut_by(text, most, char::len_utf8)
}

/// As [`cut`], where `most` limits the bytes that the text takes in JSON after [`escaped_json`].
pub fn cut_json(text: &str, most: usize) -> Cow<'_, str> {
    cut_by(text, most, json_len)
}

fn cut_by(text: &str, most: usize, size: impl Fn(char) -> usize) -> Cow<'_, str> {
    let (mut taken, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        taken += size(c);
        if taken > most {
            return Cow::Owned(format!("{}{MARK}", &text[..end]));
        }
        if taken + MARK.len_utf8() <= most {
            end = at + c.len_utf8();
        }
    }
    Cow::Borrowed(text)
}

/// The bytes that a character takes in a JSON string after [`escaped_json`].
fn json_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if invisible(c) => 6 * c.len_utf16(),
        c => c.len_utf8(),
    }
}

/// The bytes that `text` takes in a JSON string after [`escaped_json`], without the quotes.
pub fn json_bytes(text: &str) -> usize {
    text.chars().map(json_len).sum()
}

/// `text` for one line of a terminal: a newline becomes `\n`, an escape character `\u{1b}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_except(text, &[])
}

/// As [`escaped`], but keeps newlines.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_except(text, &['\n'])
}

/// As [`escaped`], but keeps the characters in `kept`.
pub fn escaped_except<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    replaced(text, kept, |c, out| match c {
        '\n' | '\r' | '\t' => out.extend(c.escape_default()),
        _ => out.extend(c.escape_unicode()),
    })
}

/// The same JSON with invisible characters escaped, as in `\u001b`. Newlines between its tokens stay.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    replaced(json, &['\n'], |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Whether `text` is printable ASCII, as nearly all text is. The loop over a chunk has no early exit, so the compiler
/// can check many bytes at a time.
fn is_printable_ascii(text: &str) -> bool {
    let printable = |part: &[u8]| part.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    text.as_bytes().chunks(256).all(printable)
}

fn replaced<'a>(text: &'a str, kept: &[char], replace: impl Fn(char, &mut String)) -> Cow<'a, str> {
    let stays = |c: char| !invisible(c) || kept.contains(&c);
    if is_printable_ascii(text) || text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if stays(c) { out.push(c) } else { replace(c, &mut out) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use serde_json::{Value, json};

    use super::*;

    /// A terminal title, colours with both kinds of CSI, a reversal, and characters that are invisible or break lines.
    const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[31m\u{9b}31m\u{202e}\u{200b}\u{2028}\u{e0041}\r\nü\u{7f}";

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(escaped(HOSTILE), r"\u{1b}]0;x\u{7}\u{1b}[31m\u{9b}31m\u{202e}\u{200b}\u{2028}\u{e0041}\r\nü\u{7f}");
        assert_eq!(escaped_lines("a\nb\u{9b}"), "a\nb\\u{9b}");
        assert!(matches!(escaped("größer, 100 %"), Cow::Borrowed(_)));
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = json!({ HOSTILE: HOSTILE });
        for json in [value.to_string(), format!("{value:#}")] {
            let shown = escaped_json(&json);
            assert!(shown.chars().all(|c| c == '\n' || !invisible(c)), "{shown}");
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
        }
        assert_eq!(json_bytes(HOSTILE), escaped_json(&json!(HOSTILE).to_string()).len() - 2);
    }

    #[test]
    fn what_is_cut_says_so_and_ends_with_a_whole_character() {
        assert_eq!((cut("éé", 4), cut("ééé", 5)), ("éé".into(), "é…".into()));
        assert_eq!(cut(&"é".repeat(10), 11), "éééé…");
        assert_eq!(cut("abc", 2), "…");
        let hostile = cut_json(HOSTILE, 40);
        assert!(hostile.ends_with(MARK) && json_bytes(&hostile) <= 40, "{hostile:?}");
    }
}
