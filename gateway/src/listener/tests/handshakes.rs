//! Handshakes run on threads that leave the processor to requests.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::super::handshake_threads;
use super::pki::{Pki, limits};
use super::server::Server;

/// The head of a handshake's record, without its 512 bytes.
const BEGUN: [u8; 5] = [0x16, 3, 1, 2, 0];

#[test]
fn a_handshake_runs_on_its_threads_and_ends_with_its_connection() {
    let threads = handshake_threads().unwrap();
    let handshakes = || threads.metrics().num_alive_tasks();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let server = Server::start_on(threads.handle(), &Pki::new(), &limits());
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&BEGUN).await.unwrap();
        while handshakes() == 0 {
            yield_now().await;
        }
        server.task.abort();
        while handshakes() > 0 {
            yield_now().await;
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn handshakes_take_what_requests_leave() {
    let priority = || rustix::process::getpriority_process(None).unwrap();
    let before = priority();
    let threads = handshake_threads().unwrap();
    let there = threads.spawn(async move { priority() });
    assert_eq!((threads.block_on(there).unwrap(), priority()), (5, before));
}
