//! Rego's `sprintf`, which is Go's `fmt.Sprintf` over three kinds of arguments: whole numbers, other numbers, and text.
//! OPA hands over everything else as text.
//!
//! A verb that does not fit its argument is written as Go writes it, `%!d(string=hi)`. What would show how Go keeps a
//! number beyond 64 bits in memory, `%p` and `%w` of it, ends the evaluation.

mod float;
mod spec;
#[cfg(test)]
mod tests;
mod value;

use self::spec::Spec;
use self::value::Value;
use super::EvalError;
use super::deadline::Deadline;
use super::term::Term;

/// A width or a precision beyond this, on either side of zero, is none, as in Go.
const CRAZY: usize = 1_000_000;

/// Formats `values` until the deadline. A text longer than `limit` bytes is an error.
pub(super) fn sprintf(format: &str, values: &[Term], limit: usize, deadline: &Deadline) -> Result<String, EvalError> {
    let mut printer =
        Printer { format, at: 0, values, next: 0, reordered: false, is_known: true, out: String::new(), limit };
    while let Some(length) = printer.rest().find('%') {
        printer.out.push_str(&printer.rest()[..length]);
        printer.at += length + 1;
        // What a verb costs is bounded by the limit, but not by what it adds to the text.
        deadline.check()?;
        printer.verb()?;
        printer.within()?;
    }
    printer.out.push_str(printer.rest());
    printer.extra()?;
    printer.within()?;
    Ok(printer.out)
}

struct Printer<'a> {
    format: &'a str,
    at: usize,
    values: &'a [Term],
    /// Which of them is next.
    next: usize,
    /// Whether a value was asked for by its number.
    reordered: bool,
    /// Whether the verb under way asks for a value by a number that makes sense.
    is_known: bool,
    out: String,
    limit: usize,
}

impl<'a> Printer<'a> {
    fn rest(&self) -> &'a str {
        &self.format[self.at..]
    }

    fn within(&self) -> Result<(), EvalError> {
        if self.out.len() > self.limit { Err(EvalError::Output(self.limit)) } else { Ok(()) }
    }

    fn eat(&mut self, next: char) -> bool {
        let found = self.rest().starts_with(next);
        self.at += usize::from(found);
        found
    }

    /// Reads what follows a percent sign, and writes what it stands for.
    fn verb(&mut self) -> Result<(), EvalError> {
        self.is_known = true;
        let spec = self.spec();
        let Some(verb) = self.rest().chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return Ok(());
        };
        self.at += verb.len_utf8();
        if verb == '%' {
            self.out.push('%');
            return Ok(());
        }
        // Every other verb writes as much as its width.
        if spec.width.unwrap_or(0) > self.limit {
            return Err(EvalError::Output(self.limit));
        }
        let problem = match self.values.get(self.next) {
            _ if !self.is_known => "(BADINDEX)",
            None => "(MISSING)",
            Some(value) => {
                self.next += 1;
                self.out.push_str(&Value::of(value).format(verb, &spec)?);
                return Ok(());
            }
        };
        self.out.extend(["%!", verb.encode_utf8(&mut [0; 4]), problem]);
        Ok(())
    }

    /// Flags, number of the value, width, precision.
    fn spec(&mut self) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = self.rest().chars().next().filter(|next| "#+-0 ".contains(*next)) {
            self.at += 1;
            match flag {
                '#' => spec.sharp = true,
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '0' => spec.zero = true,
                _ => spec.space = true,
            }
        }
        let mut is_numbered = self.numbered();
        if self.eat('*') {
            self.width(&mut spec);
            is_numbered = false;
        } else {
            spec.width = self.number();
            self.is_known &= !(is_numbered && spec.width.is_some());
        }
        // A point that ends the format is the verb.
        if self.rest().len() > 1 && self.eat('.') {
            self.is_known &= !is_numbered;
            is_numbered = self.numbered();
            if self.eat('*') {
                self.precision(&mut spec);
                is_numbered = false;
            } else {
                spec.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !is_numbered {
            self.numbered();
        }
        // Whatever is written with more digits than the limit is too long, so more need not be told apart.
        spec.precision = spec.precision.map(|precision| precision.min(self.limit + 1));
        spec
    }

    /// The width that a value gives; a negative one is to the left.
    fn width(&mut self, spec: &mut Spec) {
        let Some(width) = self.measure() else {
            self.out.push_str("%!(BADWIDTH)");
            return;
        };
        spec.width = usize::try_from(width.unsigned_abs()).ok();
        if width < 0 {
            (spec.minus, spec.zero) = (true, false);
        }
    }

    /// The precision that a value gives; a negative one is none.
    fn precision(&mut self, spec: &mut Spec) {
        spec.precision = self.measure().and_then(|precision| usize::try_from(precision).ok());
        if spec.precision.is_none() {
            self.out.push_str("%!(BADPREC)");
        }
    }

    /// A whole number from the next value.
    fn measure(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let Value::Integer(number) = Value::of(value) else { return None };
        Some(number).filter(|number| usize::try_from(number.unsigned_abs()).is_ok_and(|size| size <= CRAZY))
    }

    /// A number in brackets says which value is next. Returns whether there is one that can be read.
    fn numbered(&mut self) -> bool {
        let rest = self.rest();
        if !rest.starts_with('[') {
            return false;
        }
        self.reordered = true;
        let close = if rest.len() < 3 { None } else { rest.find(']') };
        self.at += close.map_or(1, |close| close + 1);
        let inside = close.map_or("", |close| &rest[1..close]);
        let number = Some(inside).filter(|inside| inside.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(measured).map(|number| number.checked_sub(1));
        match number {
            Some(Some(index)) if index < self.values.len() => self.next = index,
            _ => self.is_known = false,
        }
        number.is_some()
    }

    /// A width or a precision. One that is beyond Go's measure takes the rest of the format with it.
    fn number(&mut self) -> Option<usize> {
        let rest = self.rest();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        let number = measured(&rest[..digits]);
        self.at = if number.is_some() { self.at + digits } else { self.format.len() };
        number
    }

    /// Names the values that no verb asked for.
    fn extra(&mut self) -> Result<(), EvalError> {
        let surplus = self.values.get(self.next..).unwrap_or_default();
        if self.reordered || surplus.is_empty() {
            return Ok(());
        }
        let mut separator = "%!(EXTRA ";
        for value in surplus {
            let value = Value::of(value);
            self.out.extend([separator, value.kind(), "=", &value.plain()?]);
            self.within()?;
            separator = ", ";
        }
        self.out.push(')');
        Ok(())
    }
}

/// A number, unless it is beyond Go's measure before its last digit.
fn measured(digits: &str) -> Option<usize> {
    let mut number = 0_usize;
    for digit in digits.bytes() {
        if number > CRAZY {
            return None;
        }
        number = number * 10 + usize::from(digit - b'0');
    }
    (!digits.is_empty()).then_some(number)
}
