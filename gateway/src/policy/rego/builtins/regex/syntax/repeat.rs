//! Repetitions.

use super::{Stop, Translator};

/// How often something may be repeated, and what is within it, in all.
const MOST_REPEATS: u32 = 1_000;

impl Translator<'_> {
    /// `{n}`, `{n,}` or `{n,m}`; anything else is a brace.
    pub(super) fn counted(&mut self) -> Result<(), Stop> {
        let Some((least, most, length)) = bounds(self.rest) else {
            self.take(1);
            self.literal('{');
            return Ok(());
        };
        let fits = |count: u32| count <= MOST_REPEATS;
        if !fits(least) || most.is_some_and(|most| !fits(most) || most < least) {
            return Err(Stop::Undefined);
        }
        let text = match most {
            Some(most) => format!("{{{least},{most}}}"),
            None => format!("{{{least},}}"),
        };
        self.take(length);
        self.repeat(&text, most.unwrap_or(least).max(1))?;
        self.multiply(least, most)
    }

    /// Puts a repetition behind the last atom.
    pub(super) fn repeat(&mut self, operator: &str, count: u32) -> Result<(), Stop> {
        let lazy = if self.eat("?") { "?" } else { "" };
        let Some(mut atom) = self.group().last.filter(|atom| !atom.is_closed) else { return Err(Stop::Undefined) };
        if atom.is_repeated {
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.begin, "(?:");
            atom.end += 4;
        }
        let operator = format!("{operator}{lazy}");
        self.out.insert_str(atom.end, &operator);
        atom.end += operator.len();
        let more = atom.states.saturating_mul(usize::try_from(count.max(1)).unwrap_or(1) - 1).saturating_add(2);
        atom.states = atom.states.saturating_add(more);
        (atom.is_repeated, atom.is_closed) = (true, true);
        let group = self.group();
        group.states = group.states.saturating_add(more);
        group.last = Some(atom);
        Ok(())
    }

    /// Counts what a counted repetition repeats in all.
    fn multiply(&mut self, least: u32, most: Option<u32>) -> Result<(), Stop> {
        let group = self.group();
        let Some(atom) = &mut group.last else { return Ok(()) };
        let count = most.unwrap_or(least);
        atom.repeats = if most == Some(0) { 0 } else { count.max(1).saturating_mul(atom.repeats.max(1)) };
        group.repeats = group.repeats.max(atom.repeats);
        let counts = least >= 2 || most.is_some_and(|most| most >= 2);
        if counts && atom.repeats > MOST_REPEATS { Err(Stop::Undefined) } else { Ok(()) }
    }
}

/// The bounds of a repetition and its length.
fn bounds(text: &str) -> Option<(u32, Option<u32>, usize)> {
    let inner = text[1..].split_once('}')?.0;
    let (least, most) = inner
        .split_once(',')
        .map_or((inner, Some(inner)), |(least, most)| (least, Some(most).filter(|most| !most.is_empty())));
    let least = count(least)?;
    let most = match most {
        Some(most) => Some(count(most)?),
        None => None,
    };
    Some((least, most, inner.len() + 2))
}

/// Digits without a leading zero; too many are too much.
fn count(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leads_with_zero = text.len() > 1 && text.starts_with('0');
    (digits && !leads_with_zero).then(|| text.parse().unwrap_or(u32::MAX))
}
