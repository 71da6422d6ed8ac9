//! A program on a pseudo-terminal, and what its screen shows.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use anstyle::{Ansi256Color, Color, Effects, RgbColor, Style};
use anyhow::{Context, Result, anyhow, ensure};
use pty_process::{Pty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout_at};
use vt100::{Callbacks, Cell, Parser, Screen};

use crate::poll::PATIENCE;

/// The columns of the screen.
pub const COLUMNS: u16 = 104;
/// Its rows: so many that nothing scrolls away.
const ROWS: u16 = 200;

/// The invisible mark that begins a prompt, as terminals know it (OSC 133). A shell that is waited for has it in its prompt.
pub const MARK: &str = "\u{1b}]133;A\u{7}";

/// A terminal, and the program on it, which ends with it.
pub struct Terminal {
    pty: Pty,
    parser: Parser<Prompts>,
    _program: Child,
}

/// How many prompts were shown.
#[derive(Default)]
struct Prompts(usize);

impl Callbacks for Prompts {
    fn unhandled_osc(&mut self, _: &mut Screen, parameters: &[&[u8]]) {
        self.0 += usize::from(parameters.starts_with(&[b"133", b"A"]));
    }
}

impl Terminal {
    /// Starts a program.
    pub fn start(mut program: Command) -> Result<Self> {
        let (pty, inner) = pty_process::open().context("cannot open a terminal")?;
        pty.resize(Size::new(ROWS, COLUMNS))?;
        program.env("TERM", "xterm-256color").kill_on_drop(true);
        let program =
            pty_process::Command::from(program).spawn(inner).context("cannot start a program on a terminal")?;
        let [rows, columns] = [ROWS, COLUMNS].map(|number| NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN));
        let parser = Parser::new_with_callbacks(rows, columns, 0, Prompts::default());
        Ok(Self { pty, parser, _program: program })
    }

    /// Types, as on a keyboard.
    pub async fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.pty.write_all(keys.as_bytes()).await?)
    }

    /// Reads what the program prints until the screen is as `seen` wants it.
    pub async fn until(&mut self, what: &str, seen: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut part = [0; 4096];
        while !seen(self) {
            let read = timeout_at(end, self.pty.read(&mut part)).await;
            let shown = || format!("the terminal did not show {what}, but\n{}", self.text());
            let read = read.map_err(|_| anyhow!(shown()))?.with_context(shown)?;
            ensure!(read > 0, shown());
            self.parser.process(&part[..read]);
        }
        Ok(())
    }

    /// Waits for the shell's next prompt after the first `known`.
    pub async fn prompt_after(&mut self, known: usize) -> Result<()> {
        self.until("a prompt", |terminal| terminal.prompts() > known).await
    }

    /// Types a command to a shell, and waits for the next prompt; the command and what it printed.
    pub async fn run(&mut self, command: &str) -> Result<String> {
        let (row, known) = (self.row(), self.prompts());
        self.press(&format!("{command}\r")).await?;
        self.prompt_after(known).await?;
        Ok(self.parser.screen().contents_between(row, 0, self.row(), 0))
    }

    /// How many prompts the shell has shown.
    pub fn prompts(&self) -> usize {
        self.parser.callbacks().0
    }

    /// Everything on the screen.
    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// The line that the cursor is in.
    pub fn line(&self) -> String {
        self.parser.screen().rows(0, COLUMNS).nth(self.row().into()).unwrap_or_default()
    }

    /// What is above the cursor's line, each row a line, with its colours as ANSI has them.
    pub fn coloured(&self) -> String {
        (0..self.row()).map(|row| self.coloured_row(row) + "\n").collect()
    }

    fn row(&self) -> u16 {
        self.parser.screen().cursor_position().0
    }

    fn coloured_row(&self, row: u16) -> String {
        let (mut line, mut last) = (String::new(), Style::new());
        let cells = (0..COLUMNS).filter_map(|column| self.parser.screen().cell(row, column));
        for cell in cells.filter(|cell| !cell.is_wide_continuation()) {
            let style = style(cell);
            if style != last {
                // Writing to a string cannot fail.
                let _ = write!(line, "{last:#}{style}");
                last = style;
            }
            line.push_str(if cell.has_contents() { cell.contents() } else { " " });
        }
        line.truncate(line.trim_end().len());
        format!("{line}{last:#}")
    }
}

fn style(cell: &Cell) -> Style {
    let effects = [
        (cell.bold(), Effects::BOLD),
        (cell.dim(), Effects::DIMMED),
        (cell.italic(), Effects::ITALIC),
        (cell.underline(), Effects::UNDERLINE),
        (cell.inverse(), Effects::INVERT),
    ];
    let effects = effects.into_iter().filter(|(is_set, _)| *is_set).fold(Effects::new(), |all, (_, one)| all | one);
    Style::new().fg_color(color(cell.fgcolor())).bg_color(color(cell.bgcolor())).effects(effects)
}

fn color(color: vt100::Color) -> Option<Color> {
    match color {
        vt100::Color::Default => None,
        vt100::Color::Idx(index) => Some(Ansi256Color(index).into()),
        vt100::Color::Rgb(red, green, blue) => Some(RgbColor(red, green, blue).into()),
    }
}
