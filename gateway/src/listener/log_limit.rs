//! Bounds how many lines per second clients can make the gateway log.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How many lines are logged in one [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Limits the lines of one kind. Those beyond the limit are left out, and their number is logged afterwards.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    window: Mutex<Window>,
    left_out: Notify,
}

#[derive(Debug, Default)]
struct Window {
    /// When it ends; `None` before the first line.
    end: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether a line may be logged now.
    pub(super) fn allows(&self) -> bool {
        let mut window = self.lock();
        let now = Instant::now();
        // No new window begins before [`Self::left_out`] has returned the number of lines that this one left out.
        if window.left_out == 0 && window.end.is_none_or(|end| end <= now) {
            *window = Window { end: Some(now + WINDOW), ..Window::default() };
        }
        if window.lines < LINES {
            window.lines += 1;
            return true;
        }
        window.left_out += 1;
        if window.left_out == 1 {
            self.left_out.notify_one();
        }
        false
    }

    /// Waits until lines were left out and their window has ended, and returns their number. Cancel-safe: if the future
    /// is dropped, the count is kept.
    pub(super) async fn left_out(&self) -> u64 {
        loop {
            let pending = {
                let window = self.lock();
                window.end.filter(|_| window.left_out > 0)
            };
            match pending {
                Some(end) => {
                    sleep_until(end).await;
                    return std::mem::take(&mut *self.lock()).left_out;
                }
                None => self.left_out.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limit: &LogLimit, lines: u32) -> u32 {
        (0..lines).map(|_| u32::from(limit.allows())).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_lines_a_second_are_logged_and_the_others_told_as_a_number() {
        let limit = LogLimit::default();
        assert_eq!(allowed(&limit, 3), 3);
        assert_eq!(allowed(&limit, 100), 7);
        assert_eq!(limit.left_out().await, 93);
        assert_eq!(allowed(&limit, 11), 10);
        assert_eq!(limit.left_out().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_stays_within_the_limit_is_logged_and_nothing_is_told() {
        let limit = LogLimit::default();
        for _ in 0..5 {
            assert_eq!(allowed(&limit, 10), 10);
            tokio::time::advance(WINDOW).await;
        }
        assert!(tokio::time::timeout(10 * WINDOW, limit.left_out()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_may_give_up_and_come_back() {
        let limit = LogLimit::default();
        allowed(&limit, 12);
        assert!(tokio::time::timeout(WINDOW / 2, limit.left_out()).await.is_err());
        assert_eq!(limit.left_out().await, 2);
    }
}
