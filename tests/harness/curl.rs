//! The same requests as the programs of [`crate::languages`], sent by curl: a process for each try.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::languages::{Attempt, Outcome, Protocol, Reply, TRY_LIMIT};

/// curl's exit code for `--max-time`.
const TIMED_OUT: i32 = 28;

pub(crate) async fn run(protocol: Protocol, attempts: &[Attempt]) -> Result<Vec<Vec<Outcome>>> {
    let directory = tempfile::tempdir()?;
    let mut all = Vec::new();
    for attempt in attempts {
        all.push(outcomes(protocol, attempt, directory.path()).await?);
    }
    Ok(all)
}

async fn outcomes(protocol: Protocol, attempt: &Attempt, directory: &Path) -> Result<Vec<Outcome>> {
    let unsupported = match (attempt.option("body"), attempt.option("kept"), attempt.option("expect")) {
        ("trailers", ..) => Some("curl sends no trailers"),
        (_, "yes", _) => Some("curl sends a head and a small body at once"),
        (.., "417") => Some("curl sends it again after 417, and again"),
        _ => None,
    };
    if let Some(reason) = unsupported {
        return Ok(vec![Outcome::Unsupported(reason.to_owned())]);
    }
    let mut outcomes = Vec::new();
    for _ in 0..attempt.tries {
        outcomes.push(once(protocol, attempt, directory).await?);
    }
    Ok(outcomes)
}

async fn once(protocol: Protocol, attempt: &Attempt, directory: &Path) -> Result<Outcome> {
    let [head, body, sent] = ["head", "body", "sent"].map(|name| directory.join(name));
    std::fs::write(&sent, attempt.body()?)?;
    std::fs::write(&body, "")?;
    let output = command(protocol, attempt, &sent)?
        .arg("--dump-header")
        .arg(&head)
        .arg("--output")
        .arg(&body)
        .output()
        .await
        .context("cannot start curl")?;
    if output.status.code() == Some(TIMED_OUT) {
        return Ok(Outcome::Hung);
    }
    if !output.status.success() {
        return Ok(Outcome::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let written = String::from_utf8(output.stdout)?;
    let (status, version) = written.split_once(' ').context("a status and a version")?;
    Ok(Outcome::Answered(Reply {
        status: status.parse()?,
        protocol: format!("h{}", version.trim_end_matches(".1")),
        headers: headers(&std::fs::read_to_string(&head)?),
        // With --head, the output is the head once more; a body that comes all the same is an error.
        body: if attempt.option("method") == "HEAD" { String::new() } else { std::fs::read_to_string(&body)? },
    }))
}

fn command(protocol: Protocol, attempt: &Attempt, sent: &Path) -> Result<Command> {
    let mut curl = Command::new("curl");
    curl.kill_on_drop(true).args(["--silent", "--show-error", "--write-out", "%{http_code} %{http_version}"]);
    curl.args(["--max-time", &TRY_LIMIT.as_secs().to_string(), "--cacert", attempt.option("ca")]);
    curl.arg(match protocol {
        Protocol::Http1 => "--http1.1",
        Protocol::Http2 => "--http2",
    });
    if !attempt.option("cert").is_empty() {
        curl.args(["--cert", attempt.option("cert"), "--key", attempt.option("key")]);
    }
    match attempt.option("method") {
        "HEAD" => curl.arg("--head"),
        method => curl.args(["--request", method]),
    };
    if !attempt.option("type").is_empty() {
        curl.args(["--header", &format!("content-type: {}", attempt.option("type"))]);
    }
    if !attempt.option("expect").is_empty() {
        // Longer than curl tries: else it would send the body after a second.
        curl.args(["--header", "expect: 100-continue", "--expect100-timeout", "60"]);
    }
    match attempt.option("body") {
        "length" => curl.arg("--data-binary").arg(format!("@{}", sent.display())),
        "stream" => curl.args(["--upload-file", "-"]).stdin(Stdio::from(std::fs::File::open(sent)?)),
        _ => &mut curl,
    };
    curl.arg(attempt.option("url"));
    Ok(curl)
}

/// The headers of the last head of a file that may begin with those of interim answers.
fn headers(heads: &str) -> BTreeMap<String, String> {
    let last = heads.trim_end().rsplit("\r\n\r\n").next().unwrap_or_default();
    let fields = last.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect()
}

impl Attempt {
    /// An option's value, or the empty text.
    fn option(&self, name: &str) -> &str {
        self.options.get(name).map_or("", String::as_str)
    }

    /// The body that every client sends: a small one, made as long as asked by blanks.
    fn body(&self) -> Result<Vec<u8>> {
        let mut body = br#"{"replicas":4}"#.to_vec();
        body.resize(self.option("size").parse()?, b' ');
        Ok(body)
    }
}
