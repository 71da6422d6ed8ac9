//! What follows a backslash.

use super::{Stop, Translator};

impl Translator<'_> {
    pub(super) fn escape(&mut self) -> Result<(), Stop> {
        for (text, written) in [(r"\A", r"\A"), (r"\z", r"\z"), (r"\b", r"(?-u:\b)"), (r"\B", r"(?-u:\B)")] {
            if self.eat(text) {
                self.atom(written, 1);
                return Ok(());
            }
        }
        if self.eat(r"\Q") {
            let (literal, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
            self.rest = rest;
            if let Some(last) = &mut self.group().last {
                last.is_closed = false;
            }
            literal.chars().for_each(|character| self.literal(character));
            return Ok(());
        }
        if let Some(class) = self.named_class()? {
            self.atom(&format!("[{}]", class.written), class.states);
            return Ok(());
        }
        let character = self.character()?;
        self.literal(character);
        Ok(())
    }

    /// A character, which may be escaped.
    pub(super) fn character(&mut self) -> Result<char, Stop> {
        if !self.eat("\\") {
            return self.next();
        }
        let next = self.next()?;
        Ok(match next {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => return self.hexadecimal(),
            '0' => return self.octal(next),
            // A digit alone would be a reference to a group.
            '1'..='7' if self.rest.starts_with(|next| matches!(next, '0'..='7')) => return self.octal(next),
            _ if next.is_ascii() && !next.is_ascii_alphanumeric() => next,
            _ => return Err(Stop::Undefined),
        })
    }

    pub(super) fn next(&mut self) -> Result<char, Stop> {
        let next = self.rest.chars().next().ok_or(Stop::Undefined)?;
        self.take(next.len_utf8());
        Ok(next)
    }

    /// Up to three digits.
    fn octal(&mut self, first: char) -> Result<char, Stop> {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.rest.chars().next().and_then(|next| next.to_digit(8)) else { break };
            self.take(1);
            code = code * 8 + digit;
        }
        scalar(code)
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Result<char, Stop> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}').ok_or(Stop::Undefined)?;
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2).ok_or(Stop::Undefined)?;
            self.rest = rest;
            digits
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Stop::Undefined);
        }
        let significant = digits.trim_start_matches('0');
        let code = if significant.is_empty() { Ok(0) } else { u32::from_str_radix(significant, 16) };
        scalar(code.map_err(|_| Stop::Undefined)?)
    }
}

fn scalar(code: u32) -> Result<char, Stop> {
    match char::from_u32(code) {
        Some(character) => Ok(character),
        None if code > u32::from(char::MAX) => Err(Stop::Undefined),
        None => Err(Stop::unsupported("a regular expression with half of a character")),
    }
}
