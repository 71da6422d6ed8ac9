//! Sends what several requests of one connection answer at the same time together.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Yields at every second call.
fn yield_once(has_yielded: &mut bool, cx: &Context<'_>) -> Poll<()> {
    *has_yielded = !*has_yielded;
    if !*has_yielded {
        return Poll::Ready(());
    }
    // A task that wakes itself goes to the end of its thread's queue.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Polls `connection`, where several requests share it, after all tasks that are ready: their answers, such as one change on
/// a hundred streams, are sent together.
pub(super) fn poll_gathered<F: Future>(
    connection: Pin<&mut F>,
    is_shared: bool,
    has_yielded: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    if (is_shared || *has_yielded) && yield_once(has_yielded, cx).is_pending() {
        return Poll::Pending;
    }
    connection.poll(cx)
}
