//! How the process is told to stop.
//!
//! The first SIGTERM or SIGINT asks everything that holds a [`Shutdown`] to finish what it has begun; a second one does
//! not wait for that.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells when to stop. Clones tell the same.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Asks all holders of the [`Shutdown`] to stop.
#[derive(Debug, Clone)]
pub struct Trigger(watch::Sender<bool>);

impl Shutdown {
    /// A shutdown and what triggers it.
    pub fn new() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Waits until it is time to stop; returns at once when it already is.
    pub async fn recv(&self) {
        // An error means that nobody is left who could trigger it: to go on would be to go on for ever.
        let _ = self.0.clone().wait_for(|triggered| *triggered).await;
    }

    /// Whether it is time to stop.
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl Trigger {
    /// Asks to stop. Once is enough.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }
}

/// The process's termination signals.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes SIGTERM and SIGINT over from their default, which is to end the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Triggers on the first signal and returns on the second, with the exit code of a process that it ended.
    pub async fn watch(mut self, trigger: Trigger) -> u8 {
        let (name, _) = self.next().await;
        tracing::info!(signal = name, "stopping: draining connections, a second signal aborts");
        trigger.trigger();
        let (name, code) = self.next().await;
        tracing::warn!(signal = name, "aborting: requests in flight are lost");
        code
    }

    /// The next signal's name and the exit code that shells give it, 128 + its number.
    async fn next(&mut self) -> (&'static str, u8) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", 128 + 15),
            _ = self.interrupt.recv() => ("SIGINT", 128 + 2),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn every_clone_hears_the_trigger_also_when_it_listens_later() {
        let (trigger, shutdown) = Shutdown::new();
        let other = shutdown.clone();
        assert!(!shutdown.is_triggered());
        trigger.trigger();
        shutdown.recv().await;
        other.recv().await;
        assert!(other.is_triggered());
    }

    #[tokio::test]
    async fn the_first_signal_asks_to_stop_and_the_second_aborts() {
        use rustix::process::{Signal, getpid, kill_process};

        let (trigger, shutdown) = Shutdown::new();
        let watch = tokio::spawn(Signals::install().unwrap().watch(trigger));
        kill_process(getpid(), Signal::TERM).unwrap();
        shutdown.recv().await;
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(watch.await.unwrap(), 130);
    }

    #[tokio::test]
    async fn a_lost_trigger_stops_too() {
        let (trigger, shutdown) = Shutdown::new();
        drop(trigger);
        shutdown.recv().await;
        assert!(shutdown.is_triggered());
    }
}
