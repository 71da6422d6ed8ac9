//! How connections and the server end, and that they are bounded.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::pki::{Pki, limits};
use super::server::{Server, get, http2_ended, text};
use crate::config;

/// Longer than a busy machine takes between a connection and its first request.
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_handshake_that_does_not_begin_is_cut() {
    let server = Server::start(&Pki::new(), &config::Listen { handshake_timeout: SHORT, ..limits() });
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(server.metric("handshakes_total{outcome=\"timeout\"}"), "1");
}

#[tokio::test]
async fn half_a_head_is_cut_and_so_is_one_that_does_not_begin() {
    let pki = Pki::new();
    let server = Server::start(&pki, &config::Listen { header_timeout: SHORT, ..limits() });
    for begun in ["", "GET / HTTP/1.1\r\nhost: loc"] {
        let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
        connection.send(begun).await.unwrap();
        connection.ended().await;
    }
    let mut second = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    second.ask("/").await.unwrap();
    second.send("GET / HTTP/1.1\r\n").await.unwrap();
    second.ended().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let pki = Pki::new();
    let server = Server::start(&pki, &config::Listen { idle_timeout: SHORT, ..limits() });
    let mut http1 = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    http1.ask("/").await.unwrap();
    http1.ended().await;
    let mut http2 = server.connect_http2(&pki, &pki.ci()).await;
    http2.send_request(get("/")).await.unwrap();
    http2_ended(&mut http2).await;
}

#[tokio::test]
async fn a_request_in_progress_is_not_idleness() {
    let pki = Pki::new();
    let server = Server::start(&pki, &config::Listen { idle_timeout: SHORT, header_timeout: SHORT, ..limits() });
    let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let release = async {
        server.script.entered.notified().await;
        tokio::time::sleep(3 * SHORT).await;
        server.script.released.notify_one();
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = connection.ask("/wait") => answer,
        () = release => unreachable!("it waits for the answer"),
    };
    assert_eq!(answer.unwrap(), "uri:spiffe://example.org/ci");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(17 * 1024));
    connection.send(&head).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert!(answer.starts_with("http/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let soon = OffsetDateTime::now_utc() + Duration::from_secs(2);
    let brief = pki.ca.client(&["spiffe://example.org/ci"], |params| params.not_after = soon);
    let mut connection = server.connect(&pki, Some(&brief)).await.unwrap();
    assert_eq!(connection.ask("/").await.unwrap(), "uri:spiffe://example.org/ci");
    connection.ended().await;
    server.ended("expired", 1).await;
}

#[tokio::test]
async fn a_client_that_holds_all_that_it_may_keeps_nobody_else_out() {
    let pki = Pki::new();
    let limits = config::Listen { max_connections: 6, max_connections_per_client: 2, ..limits() };
    let server = Server::start(&pki, &limits);
    let (greedy, other) = (pki.ci(), pki.ca.client(&["spiffe://example.org/other"], |_| {}));
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = server.connect(&pki, Some(&greedy)).await.unwrap();
        connection.ask("/").await.unwrap();
        held.push(connection);
    }
    assert!(server.ask(&pki, &greedy).await.is_err(), "a third connection");
    assert_eq!(server.metric("connections_refused_total{bound=\"client\"}"), "1");
    assert_eq!(server.ask(&pki, &other).await.unwrap(), "uri:spiffe://example.org/other");
    drop(held.pop());
    while server.metric("connections") != "1" {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.ask(&pki, &greedy).await.unwrap(), "uri:spiffe://example.org/ci");
}

#[tokio::test]
async fn requests_beyond_those_that_a_client_may_have_under_way_are_refused_until_some_are_answered() {
    let pki = Pki::new();
    let limits = config::Listen { max_requests: 1000, max_requests_per_client: 16, ..limits() };
    let server = Server::start(&pki, &limits);
    let mut http2 = server.connect_http2(&pki, &pki.ci()).await;
    let waiting: Vec<_> = (0..16).map(|_| tokio::spawn(http2.send_request(get("/wait")))).collect();
    while server.script.running.load(SeqCst) < 16 {
        tokio::task::yield_now().await;
    }
    let refused = "refused: the client's limit is reached";
    assert_eq!(text(http2.send_request(get("/")).await.unwrap()).await, refused);
    assert_eq!(server.ask(&pki, &pki.ci()).await.unwrap(), refused, "on another connection");
    let other = pki.ca.client(&["spiffe://example.org/other"], |_| {});
    assert_eq!(server.ask(&pki, &other).await.unwrap(), "uri:spiffe://example.org/other");
    server.script.released.notify_waiters();
    for answer in waiting {
        assert_eq!(text(answer.await.unwrap().unwrap()).await, "uri:spiffe://example.org/ci");
    }
    assert_eq!(server.ask(&pki, &pki.ci()).await.unwrap(), "uri:spiffe://example.org/ci");
}

#[tokio::test]
async fn a_panic_ends_its_connection_alone() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let mut connection = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    assert!(connection.ask("/panic").await.is_err());
    assert_eq!(server.ask(&pki, &pki.ci()).await.unwrap(), "uri:spiffe://example.org/ci");
}

#[tokio::test]
async fn a_drain_answers_what_is_in_flight_and_then_ends() {
    let pki = Pki::new();
    let server = Server::start(&pki, &limits());
    let mut http1 = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let mut http2 = server.connect_http2(&pki, &pki.ci()).await;
    let idle = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let script = server.script.clone();
    let drain = async {
        script.entered.notified().await;
        script.entered.notified().await;
        server.trigger.trigger();
        idle.ended().await;
        script.released.notify_one();
        script.released.notify_one();
        script.released.notify_waiters();
    };
    let one = async {
        http1.send("GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        http1.answer().await.unwrap()
    };
    let (one, two, ()) = tokio::join!(one, http2.send_request(get("/wait")), drain);
    assert!(one.contains("connection: close"), "{one}");
    assert!(one.ends_with("uri:spiffe://example.org/ci"), "{one}");
    assert_eq!(two.unwrap().status(), 200);
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn while_load_balancers_catch_up_new_connections_are_served_and_told_to_leave() {
    let pki = Pki::new();
    let drain = config::Drain { grace: Duration::from_secs(1), deadline: Duration::from_mins(5) };
    let server = Server::start(&pki, &config::Listen { drain, ..limits() });
    server.trigger.trigger();
    let mut late = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    late.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let answer = late.answer().await.unwrap();
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    let mut late = server.connect_http2(&pki, &pki.ci()).await;
    assert_eq!(late.send_request(get("/")).await.unwrap().status(), 200);
    server.task.await.unwrap();
}

#[tokio::test]
async fn the_drains_deadline_cuts_what_does_not_end() {
    let pki = Pki::new();
    let drain = config::Drain { grace: Duration::ZERO, deadline: SHORT };
    let server = Server::start(&pki, &config::Listen { drain, ..limits() });
    let mut http1 = server.connect(&pki, Some(&pki.ci())).await.unwrap();
    let mut http2 = server.connect_http2(&pki, &pki.ci()).await;
    let stop = async {
        server.script.entered.notified().await;
        server.script.entered.notified().await;
        server.trigger.trigger();
    };
    let (one, two, ()) = tokio::join!(http1.ask("/wait"), http2.send_request(get("/wait")), stop);
    assert!(one.is_err());
    assert!(two.is_err());
    server.task.await.unwrap();
    assert_eq!(server.script.running.load(SeqCst), 0, "a request outlived the server");
}
