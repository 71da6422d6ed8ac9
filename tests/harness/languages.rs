//! Clients of the gateway in other languages: the programs of `tests/clients`, and curl.
//!
//! Each takes the requests to send on stdin, one a line, and prints what came of each try: `tests/clients/README.md`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Display, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::curl;
use crate::paths::{repository, scratch};

/// How long a client tries one request before it calls that a hang.
pub(crate) const TRY_LIMIT: Duration = Duration::from_secs(20);
/// How long a program may take beside its tries.
const PROGRAM_LIMIT: Duration = Duration::from_mins(2);

static LANGUAGES: OnceCell<Vec<Language>> = OnceCell::const_new();

/// A client program.
#[derive(Debug, Clone)]
pub struct Language {
    /// The language, or `curl`.
    pub name: String,
    command: Vec<String>,
}

/// The version of HTTP that a client is to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A request to be tried again and again, each time on a new connection unless it is `kept`.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub(crate) options: BTreeMap<&'static str, String>,
    pub(crate) tries: usize,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Answered(Reply),
    /// What the client's library said.
    Failed(String),
    /// Neither within 20 s.
    Hung,
    /// The client cannot send such a request, for this reason; it is the only outcome then.
    Unsupported(String),
}

/// An answer as a client shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `h1` or `h2`.
    pub protocol: String,
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        })
    }
}

impl Attempt {
    /// A GET of `url`, once, without a body or a client certificate.
    pub fn new(url: &str, ca: &Path) -> Self {
        let options = [("url", url), ("method", "GET"), ("body", "none"), ("size", "0"), ("pause", "0")];
        let options = options.map(|(name, value)| (name, value.to_owned())).into();
        Self { options, tries: 1 }.with("ca", ca.display())
    }

    /// With an option of `tests/clients/README.md`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.options.insert(name, value.to_string());
        self
    }

    /// With the certificate `NAME.pem` of a directory, and its key `NAME-key.pem`.
    #[must_use]
    pub fn certificate(self, directory: &Path, name: &str) -> Self {
        let file = |end| directory.join(format!("{name}{end}.pem"));
        self.with("cert", file("").display()).with("key", file("-key").display())
    }

    /// So many times.
    #[must_use]
    pub fn tries(mut self, tries: usize) -> Self {
        self.tries = tries;
        self
    }

    fn line(&self, protocol: Protocol) -> String {
        let mut line = format!("protocol={protocol}\ttries={}", self.tries);
        for (name, value) in &self.options {
            let _ = write!(line, "\t{name}={value}");
        }
        line.push('\n');
        line
    }
}

impl Language {
    /// Those of this machine, compiled once; `tests/clients/build.sh` says on stderr which are left out.
    pub async fn all() -> Result<&'static [Self]> {
        Ok(LANGUAGES.get_or_try_init(Self::build).await?)
    }

    async fn build() -> Result<Vec<Self>> {
        let script = repository().join("tests/clients/build.sh");
        let output = Command::new(&script)
            .arg(scratch("clients")?)
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot start tests/clients/build.sh")?;
        ensure!(output.status.success(), "{} ended with {}", script.display(), output.status);
        let text = String::from_utf8(output.stdout)?;
        let words = text.lines().map(|line| line.split('\t').map(str::to_owned).collect::<VecDeque<_>>());
        words.map(|mut words| Ok(Self { name: words.pop_front().context("a name")?, command: words.into() })).collect()
    }

    /// Tries `attempts` in order; the outcomes of each.
    pub async fn run(&self, protocol: Protocol, attempts: &[Attempt]) -> Result<Vec<Vec<Outcome>>> {
        if self.name == "curl" {
            return curl::run(protocol, attempts).await;
        }
        let tries = attempts.iter().map(|attempt| u32::try_from(attempt.tries).unwrap_or(u32::MAX)).sum::<u32>();
        let limit = PROGRAM_LIMIT + TRY_LIMIT * tries;
        let input: String = attempts.iter().map(|attempt| attempt.line(protocol)).collect();
        let output = timeout(limit, self.output(input)).await.with_context(|| format!("{} hangs", self.name))??;
        outcomes(&output, attempts).with_context(|| format!("{} printed {output}", self.name))
    }

    async fn output(&self, input: String) -> Result<String> {
        let (program, arguments) = self.command.split_first().context("no command")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        // A program that ends early says why on stderr.
        let write = async move {
            let _ = stdin.write_all(input.as_bytes()).await;
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        let output = output?;
        if !output.status.success() {
            bail!("{} ended with {}: {}", self.name, output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The outcomes that a program printed, for each attempt.
fn outcomes(output: &str, attempts: &[Attempt]) -> Result<Vec<Vec<Outcome>>> {
    let mut lines = output.lines();
    let mut all = Vec::new();
    for attempt in attempts {
        let mut outcomes = Vec::new();
        while outcomes.len() < attempt.tries {
            let outcome = outcome(lines.next().context("too few lines")?)?;
            let done = matches!(outcome, Outcome::Unsupported(_));
            outcomes.push(outcome);
            if done {
                break;
            }
        }
        all.push(outcomes);
    }
    ensure!(lines.next().is_none(), "too many lines");
    Ok(all)
}

fn outcome(line: &str) -> Result<Outcome> {
    let value: Value = serde_json::from_str(line)?;
    if let Some(reason) = value["unsupported"].as_str() {
        return Ok(Outcome::Unsupported(reason.to_owned()));
    }
    if let Some(error) = value["error"].as_str().filter(|error| !error.is_empty()) {
        return Ok(Outcome::failed(error));
    }
    let mut reply: Reply = serde_json::from_value(value)?;
    reply.headers = reply.headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    Ok(Outcome::Answered(reply))
}

impl Outcome {
    /// A failure, of which a timeout of the client's own is a hang.
    pub(crate) fn failed(error: &str) -> Self {
        let lower = error.to_lowercase();
        let hung = ["timeout", "timed out"].iter().any(|word| lower.contains(word));
        if hung { Self::Hung } else { Self::Failed(error.to_owned()) }
    }

    /// In a few words: a status with a problem's code, or what went wrong.
    pub fn summary(&self) -> String {
        match self {
            Self::Answered(reply) => {
                let problem: Value = serde_json::from_str(&reply.body).unwrap_or_default();
                format!("{} {}", reply.status, problem["code"].as_str().unwrap_or_default()).trim_end().to_owned()
            }
            Self::Failed(error) => error.clone(),
            Self::Hung => "hung".to_owned(),
            Self::Unsupported(reason) => format!("not sent: {reason}"),
        }
    }
}
