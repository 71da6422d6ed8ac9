//! The priority of threads.

/// Gives this thread a lower priority than those that serve requests, as a nice value, where threads have one of their own.
pub(crate) fn yield_to_requests(nice: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(%error, nice, "a thread keeps the priority of requests");
    }
}
