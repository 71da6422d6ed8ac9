//! Requests that two readers could read in two ways: none is more, or another, than it says.
//!
//! Whatever a request hides would be decided, and each decision has a record. So the records of a connection must be those
//! of the requests that are written in it, with the names as they are written, and its answers as many.

mod framing;
mod heads;
mod http2;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scalegate_tests::client::Client;
use scalegate_tests::gateway::read_records;
use scalegate_tests::suite::{self, Shared};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// Longer than an answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at once.
const AT_ONCE: usize = 8;

/// A request that nobody should see, where it is hidden in another one.
const HIDDEN: &str = "DELETE @hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// What follows each entry of a table: an answer says that the connection goes on, and where the entry ended.
const SENTINEL: &str = "GET /v1/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// The decision about a read, a change, or the end of a target that the entry names.
const GET: &str = "get seen";
const SET: &str = "set seen";
const RELEASE: &str = "release seen";

/// What is sent over HTTP/1.1, and what must come of it.
///
/// `@seen` is a path whose decisions may be on record, and `@hidden` one that must not be unless it is said; `@name`,
/// `@other` and `@namespace` are the names in them. `@length` and `@hex` are how many bytes are between `@begin` and
/// `@end`.
struct Entry {
    what: String,
    bytes: Vec<u8>,
    /// The status of each answer. 200 is that of the sentinel.
    answers: Vec<u16>,
    decided: Vec<&'static str>,
}

impl Entry {
    fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>, answers: &[u16], decided: &[&'static str]) -> Self {
        Self { what: what.into(), bytes: bytes.into(), answers: answers.to_vec(), decided: decided.to_vec() }
    }
}

/// The names of an entry.
#[derive(Clone)]
struct Names {
    namespace: String,
    number: usize,
}

impl Names {
    fn seen(&self) -> String {
        format!("seen-{}", self.number)
    }

    fn other(&self) -> String {
        format!("hidden-{}", self.number)
    }

    /// `text` with the names in the place of their marks.
    fn fill(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for (mark, name) in [
            ("@seen", suite::replicas(&self.namespace, &self.seen())),
            ("@hidden", suite::replicas(&self.namespace, &self.other())),
            ("@namespace", self.namespace.clone()),
            ("@name", self.seen()),
            ("@other", self.other()),
        ] {
            text = replaced(&text, mark, &name);
        }
        let length =
            find(&text, "@begin").zip(find(&text, "@end")).map_or(0, |(begin, end)| end - begin - "@begin".len());
        for (mark, value) in [
            ("@length", length.to_string()),
            ("@hex", format!("{length:x}")),
            ("@begin", String::new()),
            ("@end", String::new()),
        ] {
            text = replaced(&text, mark, &value);
        }
        text
    }

    /// What the records of these decisions say.
    fn decisions(&self, decided: &[&str]) -> Vec<String> {
        let named = |decision: &&str| {
            let (action, which) = decision.split_once(' ').unwrap_or((decision, ""));
            let name = if which == "seen" { self.seen() } else { self.other() };
            format!("{action} {}/{name}", self.namespace)
        };
        let mut decisions: Vec<String> = decided.iter().map(named).collect();
        decisions.sort();
        decisions
    }
}

fn find(text: &[u8], mark: &str) -> Option<usize> {
    text.windows(mark.len()).position(|part| part == mark.as_bytes())
}

fn replaced(text: &[u8], mark: &str, with: &str) -> Vec<u8> {
    let (mut done, mut rest) = (Vec::new(), text);
    while let Some(at) = find(rest, mark) {
        done.extend(&rest[..at]);
        done.extend(with.as_bytes());
        rest = &rest[at + mark.len()..];
    }
    done.extend(rest);
    done
}

/// What came of an entry.
struct Came {
    peer: SocketAddr,
    /// The statuses of its answers; or what is wrong with them.
    answers: Result<Vec<u16>, String>,
}

/// The addresses that entries were sent from.
static SENT_FROM: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());

/// A connection from an address that no entry was sent from, by which its decisions are found: the kernel may give a port
/// again.
async fn connect(open: impl AsyncFn() -> Result<TlsStream<TcpStream>>) -> Result<(TlsStream<TcpStream>, SocketAddr)> {
    loop {
        let stream = open().await?;
        let peer = stream.get_ref().0.local_addr()?;
        if SENT_FROM.lock().unwrap_or_else(PoisonError::into_inner).insert(peer) {
            return Ok((stream, peer));
        }
    }
}

/// Sends an entry and reads all that comes.
async fn send(client: &Client, bytes: &[u8], is_head: bool) -> Result<Came> {
    let (mut stream, peer) = connect(async || client.tls(b"http/1.1").await).await?;
    // The gateway may end the connection before all of it is sent.
    let _ = stream.write_all(&[bytes, SENTINEL.as_bytes()].concat()).await;
    let _ = stream.flush().await;
    let mut came = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut came)).await;
    let answers = match read {
        Err(_) => Err(format!("no end after {:?}", String::from_utf8_lossy(&came))),
        Ok(Err(error)) => Err(format!("{error} after {:?}", String::from_utf8_lossy(&came))),
        Ok(Ok(_)) => statuses(&came, is_head).map_err(|error| format!("{error:#}")),
    };
    Ok(Came { peer, answers })
}

/// The statuses of well-formed answers, and nothing else.
fn statuses(mut bytes: &[u8], mut is_head: bool) -> Result<Vec<u16>> {
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").context("an answer without an end")?;
        let head = std::str::from_utf8(&bytes[..end])?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "));
        let status: u16 = rest.and_then(|rest| rest.get(..3)).with_context(|| line.to_owned())?.parse()?;
        let mut length = 0;
        for line in lines {
            let (name, value) = line.split_once(": ").with_context(|| line.to_owned())?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse()?;
            }
            ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "{line}");
        }
        if std::mem::take(&mut is_head) {
            length = 0;
        }
        bytes = bytes.get(end + 4 + length..).context("a body that is cut short")?;
        statuses.push(status);
    }
    Ok(statuses)
}

/// The decisions on record by the address that they came from, without the oldest ones, which other tests have made, once
/// all are there that were made before.
async fn decisions(suite: &Shared, namespace: &str, without: usize) -> Result<BTreeMap<String, Vec<String>>> {
    let last = suite.client("operator")?.get(&suite::replicas(namespace, "last")).await?;
    let id = last.json()["decisionId"].as_str().map(str::to_owned);
    match id {
        Some(id) => drop(suite.record("decision", &id).await?),
        // An answer that says nothing of its decision has the request's id.
        None => wait_for_request(suite, last.header("x-request-id")).await?,
    }
    let mut by_peer: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in read_records(suite.gateway_log_path()).into_iter().skip(without) {
        let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
        if record["kind"] == "outcome" {
            continue;
        }
        let decision = format!("{} {}/{}", text("action"), text("namespace"), text("name"));
        by_peer.entry(text("peer")).or_default().push(decision);
    }
    for decisions in by_peer.values_mut() {
        decisions.sort();
    }
    Ok(by_peer)
}

async fn wait_for_request(suite: &Shared, id: &str) -> Result<()> {
    scalegate_tests::poll::eventually("the last record", async || {
        let is_it = |record: &Value| record["requestId"] == id;
        Ok(read_records(suite.gateway_log_path()).iter().any(is_it).then_some(()))
    })
    .await
}

#[tokio::test]
async fn nothing_is_hidden_in_a_request_of_http1_and_no_name_is_read_as_another() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = suite.namespace("smuggling1").await?;
    let operator = suite.client("operator")?;
    let entries = [framing::entries(), heads::entries(), targets::entries()].into_iter().flatten();
    let entries: Vec<_> =
        entries.enumerate().map(|(number, entry)| (Names { namespace: namespace.clone(), number }, entry)).collect();
    let sent = entries.iter().map(|(names, entry)| {
        let (client, bytes) = (&operator, names.fill(&entry.bytes));
        async move { send(client, &bytes, bytes.starts_with(b"HEAD")).await.with_context(|| entry.what.clone()) }
    });
    let before = read_records(suite.gateway_log_path()).len();
    let came: Vec<Came> = stream::iter(sent).buffered(AT_ONCE).try_collect().await?;

    let mut on_record = decisions(&suite, &namespace, before).await?;
    let mut wrong = Vec::new();
    for ((names, entry), came) in entries.iter().zip(&came) {
        if came.answers.as_ref() != Ok(&entry.answers) {
            wrong.push(format!("{}: answers {:?}, not {:?}", entry.what, came.answers, entry.answers));
        }
        let decided = on_record.remove(&came.peer.to_string()).unwrap_or_default();
        let expected = names.decisions(&entry.decided);
        if decided != expected {
            wrong.push(format!("{}: decisions {decided:?}, not {expected:?}", entry.what));
        }
    }
    let mut distinct = BTreeSet::new();
    let alike: Vec<_> = entries.iter().filter(|(_, entry)| !distinct.insert(&entry.bytes)).collect();
    ensure!(alike.is_empty(), "alike: {:?}", alike.iter().map(|(_, entry)| &entry.what).collect::<Vec<_>>());
    let refused = entries.iter().filter(|(_, entry)| entry.decided.is_empty()).count();
    println!(
        "{} requests of HTTP/1.1; {refused} reach no decision, the others just those that they name",
        entries.len()
    );
    ensure!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
