//! Tables as kubectl prints them. What is in a cell is escaped, so that only colours of our own reach a terminal.

use std::io::{self, IsTerminal};

use super::connect::variable;
use crate::text::{cut, escaped};

/// The blanks between columns.
const GAP: usize = 3;
/// The most bytes of a cell.
const MAX_CELL_BYTES: usize = 512;
/// What stands where there is nothing, as in kubectl.
const NONE: &str = "<none>";

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Paint {
    /// None.
    Plain,
    /// Those of ANSI terminals.
    Ansi,
}

impl Paint {
    /// Colours for a terminal that is not told otherwise (<https://no-color.org>).
    pub(super) fn of_stdout() -> Self {
        let terminal = io::stdout().is_terminal() && variable("TERM").is_none_or(|term| term != "dumb");
        if terminal && variable("NO_COLOR").is_none() { Self::Ansi } else { Self::Plain }
    }
}

/// What a cell stands out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing.
    Usual,
    /// As it should be.
    Good,
    /// On its way.
    Pending,
    /// Not as it should be.
    Bad,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Usual => None,
            Self::Good => Some("32"),
            Self::Pending => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with this text, escaped and cut.
    pub(super) fn new(text: &str) -> Self {
        Self { text: escaped(&cut(text, MAX_CELL_BYTES)).into_owned(), tone: Tone::Usual }
    }

    /// The same, or the mark for nothing.
    pub(super) fn maybe(text: Option<&str>) -> Self {
        Self::new(text.filter(|text| !text.is_empty()).unwrap_or(NONE))
    }

    /// A number, or the mark for nothing.
    pub(super) fn number(number: Option<i64>) -> Self {
        Self::maybe(number.map(|number| number.to_string()).as_deref())
    }

    /// The same in a tone.
    pub(super) fn in_tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn write(&self, line: &mut String, paint: Paint) {
        match self.tone.code().filter(|_| paint == Paint::Ansi) {
            Some(code) => line.extend(["\u{1b}[", code, "m", &self.text, "\u{1b}[0m"]),
            None => line.push_str(&self.text),
        }
    }
}

/// How wide the columns are. The last one has no width, since nothing stands after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Widths(Vec<usize>);

impl Widths {
    /// One line with columns of these widths, and of more where a cell needs it.
    pub(super) fn line(&self, cells: &[Cell], paint: Paint) -> String {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate() {
            cell.write(&mut line, paint);
            if at + 1 < cells.len() {
                let width = self.0.get(at).copied().unwrap_or_default().max(cell.width());
                line.extend(std::iter::repeat_n(' ', width - cell.width() + GAP));
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    /// The wider of both, column by column.
    pub(super) fn or_wider(&self, other: &Self) -> Self {
        let width = |Self(widths): &Self, at: usize| widths.get(at).copied().unwrap_or_default();
        let columns = 0..self.0.len().max(other.0.len());
        Self(columns.map(|at| width(self, at).max(width(other, at))).collect())
    }
}

/// Rows under a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(header: Vec<&'static str>) -> Self {
        Self { header, rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub(super) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The width of each column.
    pub(super) fn widths(&self) -> Widths {
        let widest = |at: usize| self.rows.iter().filter_map(|row| Some(row.get(at)?.width())).max();
        let columns = self.header.iter().enumerate().take(self.header.len().saturating_sub(1));
        Widths(columns.map(|(at, title)| title.len().max(widest(at).unwrap_or_default())).collect())
    }

    /// The text, which a terminal can be given as it is.
    pub(in crate::cli) fn render(&self, paint: Paint) -> String {
        self.render_in(&self.widths(), paint)
    }

    /// The same with columns of these widths.
    pub(super) fn render_in(&self, widths: &Widths, paint: Paint) -> String {
        let header: Vec<_> = self.header.iter().map(|title| Cell::new(title)).collect();
        let rows = self.rows.iter().map(|row| widths.line(row, paint));
        std::iter::once(widths.line(&header, paint)).chain(rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::invisible;

    fn table() -> Table {
        let mut table = Table::new(vec!["NAME", "READY", "WHY"]);
        table.push(vec![Cell::new("web"), Cell::number(Some(3)).in_tone(Tone::Good), Cell::maybe(None)]);
        table.push(vec![Cell::new("größer"), Cell::number(None), Cell::new("\u{1b}[31mred\nnext")]);
        table
    }

    #[test]
    fn columns_are_aligned_and_their_text_is_escaped() {
        insta::assert_snapshot!("a_table", table().render(Paint::Plain));
        assert!(table().render(Paint::Plain).chars().all(|c| c == '\n' || !invisible(c)));
    }

    #[test]
    fn colours_change_no_width() {
        let coloured = table().render(Paint::Ansi);
        assert!(coloured.contains("\u{1b}[32m3\u{1b}[0m        <none>"), "{coloured:?}");
        assert_eq!(coloured.replace("\u{1b}[32m", "").replace("\u{1b}[0m", ""), table().render(Paint::Plain));
    }

    #[test]
    fn a_later_line_keeps_the_columns_and_may_exceed_them() {
        let widths = table().widths();
        let line = widths.line(&[Cell::new("a"), Cell::new("b"), Cell::new("c")], Paint::Plain);
        assert_eq!(line, "a        b        c\n");
        let longer = widths.line(&[Cell::new("abcdefgh"), Cell::new("b"), Cell::new("")], Paint::Plain);
        assert_eq!(longer, "abcdefgh   b\n");
    }

    #[test]
    fn widths_grow_by_what_stands_before_the_last_column() {
        let mut later = Table::new(vec!["NAME", "READY", "WHY"]);
        later.push(vec![Cell::new("a"), Cell::new("b"), Cell::new("a long explanation")]);
        assert_eq!(table().widths().or_wider(&later.widths()), table().widths());
        later.push(vec![Cell::new("longer name"), Cell::new("b")]);
        assert_eq!(table().widths().or_wider(&later.widths()), Widths(vec![11, 6]));
        assert_eq!(Widths::default().or_wider(&later.widths()), later.widths());
    }
}
