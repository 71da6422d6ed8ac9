//! Reads a client no faster than its share allows, and not for long at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use crate::clients::Account;

/// How many bytes are read before other tasks are polled. As frames of the smallest size they take some hundred
/// microseconds.
pub(super) const AT_ONCE: u64 = 4 * 1024;

/// How fast one connection is read: its bytes count to the client's account.
#[derive(Debug)]
pub(super) struct Pace {
    account: Arc<Account>,
    /// How much was read since other tasks were polled.
    at_once: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(super) fn new(account: Arc<Account>) -> Self {
        let mut pace = Self { account, at_once: 0, pause: None };
        pace.await_share(0);
        pace
    }

    /// Waits until more may be read.
    pub(super) fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            // Another connection of the client may have been quicker.
            self.await_share(0);
        }
        if self.at_once >= AT_ONCE {
            self.at_once = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Counts what was read: nothing if there was nothing to read.
    pub(super) fn count(&mut self, bytes: usize) {
        if bytes == 0 {
            self.at_once = 0;
            return;
        }
        self.at_once += bytes as u64;
        self.await_share(bytes);
    }

    fn await_share(&mut self, bytes: usize) {
        let wait = self.account.received(bytes);
        self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::num::NonZeroU32;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
    use tokio::time::Instant;

    use super::*;
    use crate::clients::testing::clients_with_rate;
    use crate::listener::activity::Activity;

    /// Reads `bytes` of a client that sends them at once; how long that took.
    async fn read(bytes: usize, account: &Arc<Account>) -> Duration {
        let (mut client, server) = tokio::io::duplex(2 * bytes);
        client.write_all(&vec![0; bytes]).await.unwrap();
        drop(client);
        let mut server = Activity::new().watch(server, Pace::new(account.clone()));
        let began = Instant::now();
        assert_eq!(copy(&mut server, &mut sink()).await.unwrap(), bytes as u64);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn all_connections_of_a_client_together_are_read_at_its_rate() {
        let account = clients_with_rate(NonZeroU32::new(1000)).account(None);
        assert_eq!(read(100 << 10, &account).await, Duration::ZERO, "a client may send ahead");
        let whole = Duration::from_secs(1);
        let (first, second) = tokio::join!(read(512 << 10, &account), read(512 << 10, &account));
        let took = first.max(second);
        // 1,000 KiB a second, but for those ahead.
        assert!(took > whole * 3 / 4 && took < whole, "{took:?}");
    }

    #[tokio::test]
    async fn other_tasks_go_on_while_a_client_sends_much() {
        const MUCH: usize = 256 * 1024;
        let account = clients_with_rate(None).account(None);
        let (mut client, server) = tokio::io::duplex(MUCH);
        client.write_all(&vec![0; MUCH]).await.unwrap();
        let other = tokio::spawn(tokio::task::yield_now());
        let mut server = Activity::new().watch(server, Pace::new(account));
        let mut all = vec![0; MUCH];
        tokio::select! {
            biased;
            _read = server.read_exact(&mut all) => panic!("all was read at once"),
            done = other => done.unwrap(),
        }
    }
}
