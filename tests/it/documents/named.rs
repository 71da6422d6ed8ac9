//! What a document names: verbs of `make`, paths of the repository, and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use scalegate_tests::paths::repository;

/// What is built, or is nobody's source.
const LEFT_OUT: [&str; 3] = ["target", ".git", "certs/dev"];
/// The endings by which a name alone is that of a source file.
const SOURCES: [&str; 8] = ["rs", "sh", "py", "go", "proto", "rego", "md", "toml"];

/// What a reader types or looks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span<'a> {
    /// The line of the document, from 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
    /// Of a `console` block; else between backticks.
    is_command: bool,
}

/// The repository, without what is built.
pub(super) struct Tree {
    /// Files and directories, from the root.
    paths: BTreeSet<String>,
    verbs: BTreeSet<String>,
    /// The functions of Rust and Python, each with its files.
    functions: BTreeMap<String, BTreeSet<String>>,
}

/// The commands and the texts between backticks, in order.
pub(super) fn spans(document: &str) -> Vec<Span<'_>> {
    let (mut spans, mut block, mut goes_on) = (Vec::new(), None, false);
    for (at, text) in document.lines().enumerate() {
        let line = at + 1;
        if let Some(language) = text.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language) };
            goes_on = false;
            continue;
        }
        match block {
            Some("console") => {
                let command = if goes_on { Some(text) } else { text.strip_prefix("$ ") };
                goes_on = command.is_some_and(|command| command.ends_with('\\'));
                spans.extend(command.map(|text| Span { line, text, is_command: true }));
            }
            Some(_) => {}
            None => {
                let texts = text.split('`').skip(1).step_by(2);
                spans.extend(texts.map(|text| Span { line, text, is_command: false }));
            }
        }
    }
    spans
}

/// The verbs that a span has `make` do.
pub(super) fn verbs(text: &str) -> Vec<&str> {
    let is_verb = |word: &&str| word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_=…".contains(letter));
    let is_setting = |word: &&str| *word == "sudo" || word.contains('=');
    let mut verbs = Vec::new();
    for command in text.split([';', '&', '|']) {
        let mut words = command.split_whitespace().skip_while(is_setting);
        if words.next() == Some("make") {
            verbs.extend(words.take_while(is_verb).filter(|word| !is_setting(word)));
        }
    }
    verbs
}

impl Tree {
    pub(super) fn read() -> Result<Self> {
        let mut tree = Self { paths: BTreeSet::new(), verbs: BTreeSet::new(), functions: BTreeMap::new() };
        tree.add("")?;
        let makefile = fs::read_to_string(repository().join("Makefile"))?;
        let verbs = makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
        let is_verb = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        tree.verbs = verbs.filter(is_verb).map(str::to_owned).collect();
        Ok(tree)
    }

    fn add(&mut self, directory: &str) -> Result<()> {
        for entry in fs::read_dir(repository().join(directory))? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().context("a name that is not UTF-8")?;
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if LEFT_OUT.contains(&path.as_str()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.add(&path)?;
            } else if let Some(word) = keyword(&path) {
                for name in fs::read_to_string(entry.path())?.split(word).skip(1).map(identifier) {
                    self.functions.entry(name.to_owned()).or_default().insert(path.clone());
                }
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// Whether `make` has this verb, or, where it ends in `…`, one that begins so.
    pub(super) fn has_verb(&self, verb: &str) -> bool {
        match verb.strip_suffix('…') {
            Some(begin) => self.verbs.iter().any(|verb| verb.starts_with(begin)),
            None => self.verbs.contains(verb),
        }
    }

    /// The paths of the repository in a span. What is built, absolute or has placeholders is none.
    pub(super) fn paths_in<'a>(&self, span: Span<'a>) -> Vec<&'a str> {
        let is_path = |word: &&str| {
            let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./*".contains(letter);
            let first = word.split('/').next().unwrap_or_default();
            let is_source = word.rsplit_once('.').is_some_and(|(name, end)| !name.is_empty() && SOURCES.contains(&end));
            let is_built = LEFT_OUT.iter().any(|built| first == *built || word.starts_with(built));
            word.chars().all(is_plain)
                && !is_built
                && (self.paths.contains(first) && word.contains('/')
                    || !span.is_command && is_source && !word.starts_with('/'))
        };
        let words = span.text.split(|letter: char| letter.is_whitespace() || "\"'();&|<>=,:".contains(letter));
        words.map(|word| word.trim_start_matches("./")).filter(is_path).collect()
    }

    /// Whether a path that `document` names exists: from the root, from the document, or as the end of a longer one.
    pub(super) fn has(&self, document: &str, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let beside = document.rsplit_once('/').map(|(directory, _)| format!("{directory}/{path}"));
        let end = format!("/{path}");
        let candidates = [Some(path), beside.as_deref()];
        self.paths
            .iter()
            .any(|known| candidates.iter().flatten().any(|wanted| fits(wanted, known)) || known.ends_with(&end))
    }

    /// The files that define a function.
    pub(super) fn defining(&self, function: &str) -> Option<&BTreeSet<String>> {
        self.functions.get(function)
    }
}

/// Returns the text, if it can only be the name of a test: a sentence with underscores, and not a metric.
pub(super) fn test_name(text: &str) -> Option<&str> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let is_metric = ["scalegate_", "container_"].iter().any(|begin| text.starts_with(begin));
    (text.chars().all(is_plain) && text.matches('_').count() >= 4 && !is_metric).then_some(text)
}

/// What stands before the names of functions in a file.
fn keyword(path: &str) -> Option<&'static str> {
    match Path::new(path).extension()?.to_str()? {
        "rs" => Some("fn "),
        "py" => Some("def "),
        _ => None,
    }
}

fn identifier(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Whether a path is the one of a pattern, in which `*` stands for anything.
fn fits(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_document_names_what_its_reader_types_or_looks_up() {
    let document =
        "Run `make image kind-up`, see `gateway/src/lib.rs`.\n```console\n$ sudo make lint \\\n    A=b\nmake no\n```\n";
    let spans = spans(document);
    let shown: Vec<_> = spans.iter().map(|span| (span.line, span.text)).collect();
    assert_eq!(shown, [(1, "make image kind-up"), (1, "gateway/src/lib.rs"), (3, "sudo make lint \\"), (4, "    A=b")]);
    assert_eq!(verbs(spans[0].text), ["image", "kind-up"]);
    assert_eq!(verbs("X=1 make lint; make kind-… && make dev"), ["lint", "kind-…", "dev"]);
    assert_eq!(verbs("X=1 make a-b T=c"), ["a-b"]);
    assert_eq!(verbs("to make it"), Vec::<&str>::new());
    assert_eq!(test_name("a_stranger_learns_nothing_at_all"), Some("a_stranger_learns_nothing_at_all"));
    assert_eq!(test_name("deployment_not_found").or(test_name("scalegate_a_b_c_d")).or(test_name("a b_c_d_e_f")), None);
    assert!(fits("tests/it/api_*.rs", "tests/it/api_reads.rs") && !fits("tests/it/*.rs", "tests/it/cli.py"));
}
