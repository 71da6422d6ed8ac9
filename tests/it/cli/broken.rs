//! A connection that breaks while a set is under way, and servers that are no gateways.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use kube::Api;
use scalegate::resource::ReplicaTarget;
use scalegate_tests::pki::KeyedCertificate;
use scalegate_tests::poll;
use scalegate_tests::suite::{self, Shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Printed, json, run, tiers};
use crate::doctor::Server;

/// What a client sends at least after the server's handshake: its certificate. Before that it may send a few bytes.
const CERTIFICATE: usize = 100;

/// A proxy whose first connection passes the handshake and the request, but no answer, and breaks when it is told to.
struct Cutter {
    address: SocketAddr,
    cut: Arc<Notify>,
    _serving: JoinSet<()>,
}

impl Cutter {
    async fn start(gateway: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, cut) = (listener.local_addr()?, Arc::new(Notify::new()));
        let (told, mut serving) = (cut.clone(), JoinSet::new());
        serving.spawn(async move {
            let Ok((first, _)) = listener.accept().await else { return };
            tokio::select! {
                _ = handshake_and_request(first, gateway) => {}
                () = told.notified() => {}
            }
            while let (Ok((mut client, _)), Ok(mut server)) =
                (listener.accept().await, TcpStream::connect(gateway).await)
            {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        Ok(Self { address, cut, _serving: serving })
    }
}

async fn handshake_and_request(client: TcpStream, gateway: SocketAddr) -> Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = TcpStream::connect(gateway).await?.into_split();
    let mut hello = vec![0; 16 * 1024];
    let read = from_client.read(&mut hello).await?;
    to_server.write_all(&hello[..read]).await?;
    let (answers, requests) = (pass(from_server, to_client, usize::MAX), pass(from_client, to_server, CERTIFICATE));
    tokio::pin!(requests, answers);
    let (from_client, to_server) = tokio::select! {
        halves = &mut requests => halves?,
        _ = &mut answers => return Ok(()),
    };
    // The answers' halves stay open, and nothing of them is read any more.
    pass(from_client, to_server, usize::MAX).await?;
    Ok(())
}

/// Passes bytes on until there were more than `most`.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, most: usize) -> Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let (mut buffer, mut passed) = (vec![0; 16 * 1024], 0);
    while passed <= most {
        let read = from.read(&mut buffer).await?;
        anyhow::ensure!(read > 0, "the connection has ended");
        to.write_all(&buffer[..read]).await?;
        passed = passed.saturating_add(read);
    }
    Ok((from, to))
}

#[tokio::test]
async fn a_set_whose_answer_is_lost_is_sent_again_and_stored_once() -> Result<()> {
    let suite = suite::shared().await?;
    let namespace = tiers(&suite).await?;
    let cutter = Cutter::start(suite.address()).await?;
    let targets: Api<ReplicaTarget> = Api::namespaced(suite.kube().await?, &namespace);
    let stored = async {
        poll::eventually("the set to be stored", async || Ok(targets.get_opt("web").await?)).await?;
        cutter.cut.notify_one();
        Ok(())
    };
    let server = format!("https://localhost:{}", cutter.address.port());
    let arguments = ["set", "web", "4", "-n", &namespace, "-o", "json", "--server", &server];
    let (answer, ()) = tokio::try_join!(json(&suite, "operator", &arguments), stored)?;
    assert_eq!((&answer["repeated"], &answer["target"]["replicas"]), (&true.into(), &4.into()), "{answer}");
    assert_eq!(targets.get("web").await?.metadata.generation, Some(1));
    Ok(())
}

/// What a command says of a server that answers each request with this.
async fn said(suite: &Shared, arguments: &[&str], [status, kind, body]: [&str; 3]) -> Result<Printed> {
    let file = |name: &str| suite.certs().join(name);
    let certificate = KeyedCertificate { certificate: file("server.pem"), key: file("server-key.pem") };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
    let server = Server::start(Some(&certificate), head + body).await?;
    let address = format!("https://localhost:{}", server.port);
    run(suite, "operator", &[arguments, &["--server", &address]].concat()).await
}

const JSON: &str = "application/json";
const NO_GATEWAY: &str = "is it a scalegate gateway?";

#[tokio::test]
async fn an_answer_without_what_was_asked_for_is_an_error() -> Result<()> {
    let suite = suite::shared().await?;
    let other = r#"{"namespace": "demo", "name": "other", "changes": []}"#;
    for body in ["", "[]", "\"x\"", "5", r#"{"hello": 1}"#, other] {
        for arguments in [
            &["list", "-A"][..],
            &["get", "demo/web"],
            &["set", "demo/web", "3"],
            &["set", "demo/web", "3", "--dry-run"],
            &["set", "-l", "tier=front", "-A", "3"],
            &["release", "demo/web"],
            &["history", "demo/web"],
            &["policies"],
            &["version", "-o", "json"],
            &["whoami", "-o", "json"],
        ] {
            let said = said(&suite, arguments, ["200 OK", JSON, body]).await?;
            assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{arguments:?} {body}: {said:?}");
            assert!(said.err.contains(NO_GATEWAY), "{arguments:?} {body}: {said:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_no_stream_ends_a_watch() -> Result<()> {
    let suite = suite::shared().await?;
    let said = said(&suite, &["watch", "-A"], ["200 OK", JSON, "{}"]).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("without a stream of events") && said.err.contains(NO_GATEWAY), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn an_error_without_a_problem_document_keeps_its_status() -> Result<()> {
    let suite = suite::shared().await?;
    for (status, body, code) in [("503 Service Unavailable", "<html>\nbusy", 6), ("404 Not Found", "", 4)] {
        let said = said(&suite, &["get", "demo/web"], [status, "text/html", body]).await?;
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{said:?}");
        assert!(said.err.contains(&format!("{status}: {NO_GATEWAY}")), "{said:?}");
    }
    Ok(())
}

#[tokio::test]
async fn answers_without_an_end_are_errors() -> Result<()> {
    let suite = suite::shared().await?;
    let page = r#"{"items": [], "undecided": 0, "continue": "a"}"#;
    let said_of_pages = said(&suite, &["list", "-A"], ["200 OK", JSON, page]).await?;
    assert_eq!(said_of_pages.code, Some(1), "{said_of_pages:?}");
    assert!(said_of_pages.err.contains("has no end"), "{said_of_pages:?}");
    let large = "x".repeat(17 << 20);
    let said_of_size = said(&suite, &["list", "-A"], ["200 OK", JSON, &large]).await?;
    assert_eq!(said_of_size.code, Some(1), "{said_of_size:?}");
    assert!(said_of_size.err.contains("has more than 16 MiB"), "{said_of_size:?}");
    Ok(())
}
