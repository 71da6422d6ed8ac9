//! Text in quotes, as Go's `strconv.Quote` puts it.

use std::fmt::Write;

/// Which letters stand for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    All,
    Ascii,
}

/// `text` in double quotes.
pub(super) fn quoted(text: &str, letters: Letters) -> String {
    let mut out = String::from("\"");
    text.chars().for_each(|character| escape(&mut out, character, '"', letters));
    out.push('"');
    out
}

/// Whether `text` can be written without escapes, as Go's `strconv.CanBackquote` says.
pub(super) fn can_stand_between_backquotes(text: &str) -> bool {
    text.chars().all(|character| match character {
        '\t' => true,
        '\0'..='\u{1f}' | '`' | '\u{7f}' | '\u{feff}' => false,
        _ => true,
    })
}

/// Writes `character` as it stands between two of `quote`.
pub(super) fn escape(out: &mut String, character: char, quote: char, letters: Letters) {
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
        _ => escape_unprintable(out, character, letters),
    }
}

/// Whether Go shows it.
pub(super) fn is_printable(character: char) -> bool {
    let shown = !(character.is_control() || character.is_whitespace() || character.escape_debug().len() > 2);
    character == ' ' || shown
}

fn escape_unprintable(out: &mut String, character: char, letters: Letters) {
    let code = u32::from(character);
    let written = match code {
        _ if is_printable(character) && (letters == Letters::All || character.is_ascii()) => write!(out, "{character}"),
        0..=0x7f => write!(out, "\\x{code:02x}"),
        0x80..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}
