//! Text in quotes, as Go's `strconv.Quote` puts it.

use std::fmt::Write;

/// `text` in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    text.chars().for_each(|character| escape(&mut out, character, '"'));
    out.push('"');
    out
}

/// Writes `character` as it stands between two of `quote`.
pub(super) fn escape(out: &mut String, character: char, quote: char) {
    match character {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        _ if character == quote => out.extend(['\\', quote]),
        _ => escape_unprintable(out, character),
    }
}

fn escape_unprintable(out: &mut String, character: char) {
    let code = u32::from(character);
    let shown = !(character.is_control() || character.is_whitespace() || character.escape_debug().len() > 2);
    let printable = character == ' ' || shown;
    let written = match code {
        _ if printable => write!(out, "{character}"),
        0..=0x7f => write!(out, "\\x{code:02x}"),
        0x80..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}
