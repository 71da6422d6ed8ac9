//! Reads a client no faster than its share allows, and not for long at once.

use std::mem::{replace, take};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use crate::clients::Account;

/// How many bytes are read before other tasks are polled. As frames of the smallest size they take some hundred
/// microseconds.
pub(super) const AT_ONCE: usize = 4 * 1024;

/// How fast one connection is read: its bytes count to the client's account. They are counted before they are read, so
/// that the connections of a client wait in order, each until its time.
#[derive(Debug)]
pub(super) struct Pace {
    account: Arc<Account>,
    /// What was counted and not read yet.
    ahead: usize,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether other tasks are polled before more is read.
    yields: bool,
}

impl Pace {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account, ahead: 0, pause: None, yields: false }
    }

    /// Waits until up to [`AT_ONCE`] bytes may be read; how many. [`Pace::read`] or [`Pace::nothing`] is called next.
    pub(super) fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.ahead == 0 {
            let wait = self.account.receives(AT_ONCE);
            self.ahead = AT_ONCE;
            self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
            if replace(&mut self.yields, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(self.ahead)
    }

    /// Notes what was read, no more than [`Pace::poll_allowed`] said.
    pub(super) fn read(&mut self, bytes: usize) {
        self.ahead = self.ahead.saturating_sub(bytes);
    }

    /// Notes that there was nothing to read: nobody else waits for what is not there.
    pub(super) fn nothing(&mut self) {
        self.account.gives_back(take(&mut self.ahead));
        self.yields = false;
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.nothing();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::poll_fn;
    use std::num::NonZeroU32;
    use std::task::Waker;
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

    #[tokio::test(start_paused = true)]
    async fn the_connections_of_a_client_wait_in_order_each_until_its_time() {
        let account = clients_with_rate(NonZeroU32::new(1000)).account(None);
        account.receives(256_000);
        let began = Instant::now();
        let mut paces = [Pace::new(account.clone()), Pace::new(account.clone()), Pace::new(account.clone())];
        let mut context = Context::from_waker(Waker::noop());
        assert!(paces.iter_mut().all(|pace| pace.poll_allowed(&mut context).is_pending()));
        let mut times = Vec::new();
        for mut pace in paces {
            assert_eq!(poll_fn(|cx| pace.poll_allowed(cx)).await, AT_ONCE);
            times.push(began.elapsed().as_millis());
            pace.read(AT_ONCE);
        }
        // 4 KiB each, at 1,000 KiB a second. A timer ends up to a millisecond late.
        assert!(
            (4..=5).contains(&times[0]) && (8..=9).contains(&times[1]) && (12..=13).contains(&times[2]),
            "{times:?}"
        );
    }

    #[tokio::test]
    async fn connections_that_send_nothing_take_nothing_of_their_client_s_share() {
        let account = clients_with_rate(NonZeroU32::new(100)).account(None);
        let mut context = Context::from_waker(Waker::noop());
        let mut idle = Vec::new();
        for _ in 0..1000 {
            let mut pace = Pace::new(account.clone());
            assert_eq!(pace.poll_allowed(&mut context), Poll::Ready(AT_ONCE));
            pace.nothing();
            idle.push(pace);
        }
        for pace in &mut idle {
            assert_eq!(pace.poll_allowed(&mut context), Poll::Ready(AT_ONCE));
            pace.read(1);
            pace.nothing();
        }
        // 1,000 bytes, and not a thousand times as many as are read at once.
        drop(idle);
        assert_eq!(account.receives(60 << 10), Duration::ZERO);
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
