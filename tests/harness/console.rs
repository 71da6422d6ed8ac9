//! The commands in a document: its `console` blocks, as a reader would type them.
//!
//! A command begins with `$ `, and goes on in the next line after a backslash. Every other line is what it prints: in it `…`
//! stands for anything, and blanks for any blanks. A comment before a block changes what is done with it:
//! `<!-- not run: REASON -->`, or `<!-- fails -->` where its last command is meant to.

mod shell;

use anyhow::{Result, bail, ensure};

pub use self::shell::{Shell, walk};

/// A block of commands that are run together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of the document that its first command is in, from 1.
    pub line: usize,
    /// What is typed.
    pub commands: String,
    /// The lines that are printed, in this order; others may be between them.
    pub printed: Vec<String>,
    /// What is done with it.
    pub fate: Fate,
}

/// What is done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is run, and succeeds.
    Succeeds,
    /// It is run, and its last command fails.
    Fails,
    /// It is not run, for this reason.
    NotRun(String),
}

/// The blocks of a document, in order. An error where a block could be misread.
pub fn blocks(document: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut fate = Fate::Succeeds;
    let mut lines = document.lines().enumerate().map(|(at, line)| (at + 1, line));
    while let Some((at, line)) = lines.next() {
        if let Some(next) = comment(line) {
            fate = next;
        } else if line == "```console" {
            let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            blocks.push(block(at + 1, &body, fate)?);
            fate = Fate::Succeeds;
        } else if !line.is_empty() {
            ensure!(fate == Fate::Succeeds, "line {at}: the comment before it belongs before a console block");
        }
    }
    Ok(blocks)
}

/// The section under a heading, and the rest of the document. Each line of them keeps its number.
///
/// # Errors
///
/// Where there is no such section.
pub fn section(document: &str, heading: &str) -> Result<(String, String)> {
    let (mut section, mut rest, mut inside) = (String::new(), String::new(), false);
    for line in document.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            inside = title == heading;
        }
        let (lines, blanks) = if inside { (&mut section, &mut rest) } else { (&mut rest, &mut section) };
        lines.push_str(line);
        lines.push('\n');
        blanks.push('\n');
    }
    ensure!(!section.trim().is_empty(), "there is no section {heading:?}");
    Ok((section, rest))
}

fn comment(line: &str) -> Option<Fate> {
    let text = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    match text.strip_prefix("not run: ") {
        Some(reason) => Some(Fate::NotRun(reason.to_owned())),
        None => (text == "fails").then_some(Fate::Fails),
    }
}

fn block(line: usize, body: &[&str], fate: Fate) -> Result<Block> {
    let (mut commands, mut printed) = (String::new(), Vec::new());
    let mut goes_on = false;
    for text in body {
        let command = if goes_on { Some(*text) } else { text.strip_prefix("$ ") };
        match command {
            Some(command) => commands.extend([command, "\n"]),
            None if commands.is_empty() => bail!("line {line}: the block does not begin with a command"),
            None => printed.push((*text).to_owned()),
        }
        goes_on = command.is_some_and(|command| command.ends_with('\\'));
    }
    ensure!(!goes_on && !commands.is_empty(), "line {line}: the block ends before its command does");
    Ok(Block { line, commands, printed, fate })
}

impl Block {
    /// The first line that should have been printed, after those before it, and was not.
    pub fn missing_from<'a>(&'a self, output: &str) -> Option<&'a str> {
        let mut lines = output.lines();
        self.printed.iter().map(String::as_str).find(|expected| !lines.any(|line| resembles(line, expected)))
    }
}

/// Whether a line is the expected one, up to blanks and what `…` stands for.
fn resembles(line: &str, expected: &str) -> bool {
    let (line, expected) = (blanks(line), blanks(expected));
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn blanks(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const DOCUMENT: &str = "\
Look:

```console
$ kubectl get pods \\
    --all-namespaces
NAME   READY
web-…  1/1
$ true
```

<!-- not run: needs a registry -->
```console
$ helm push
```

<!-- fails -->

```console
$ false
```

```yaml
a: b
```
";

    #[test]
    fn a_document_is_read_as_its_reader_would() {
        let blocks = blocks(DOCUMENT).unwrap();
        assert_eq!(blocks.len(), 3);
        assert_eq!(blocks[0].line, 4);
        assert_eq!(blocks[0].commands, "kubectl get pods \\\n    --all-namespaces\ntrue\n");
        assert_eq!(blocks[0].printed, ["NAME   READY", "web-…  1/1"]);
        let fates: Vec<_> = blocks.into_iter().map(|block| block.fate).collect();
        assert_eq!(fates, [Fate::Succeeds, Fate::NotRun("needs a registry".into()), Fate::Fails]);
    }

    #[test]
    fn the_lines_of_a_section_keep_their_numbers() {
        let (inside, outside) = section("# a\n## b\nc\n## d\ne\n", "b").unwrap();
        assert_eq!((inside.as_str(), outside.as_str()), ("\n## b\nc\n\n\n", "# a\n\n\n## d\ne\n"));
        assert!(section("# a\n## b\n", "a").is_err());
    }

    #[test]
    fn a_block_that_could_be_misread_is_an_error() {
        for document in
            ["```console\nprinted\n```", "```console\n$ a \\\n```", "```console\n```", "<!-- fails -->\nand so on"]
        {
            assert!(blocks(document).is_err(), "{document}");
        }
    }

    #[test]
    fn what_is_printed_is_compared_line_by_line() {
        let block = &blocks(DOCUMENT).unwrap()[0];
        assert_eq!(block.missing_from("NAME READY\nother\nweb-x1  1/1\n"), None);
        assert_eq!(block.missing_from("NAME READY\nweb-x1 0/1\n"), Some("web-…  1/1"));
        assert_eq!(block.missing_from("web-x1 1/1\nNAME READY\n"), Some("web-…  1/1"), "in another order");
        assert_eq!(block.missing_from("NAME READY AGE\nweb-x1 1/1\n"), Some("NAME   READY"), "a longer line");
    }

    #[test]
    fn an_ellipsis_stands_for_anything() {
        assert!(resembles("a to b, then c", "a … b…c"));
        assert!(resembles("whatever", "…"));
        assert!(resembles("", "…"));
        assert!(!resembles("a b", "a … b …c"));
        assert!(!resembles("a to b!", "a … b"));
    }
}
