//! The certificates in force, which new connections take, and how far the end of the server is.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};

use super::Phase;
use super::tls::{SharedSecret, Tls};
use crate::files::{LastFailure, ReloadFailure};

/// The state that the listener, its connections and the [`TlsReloader`](super::TlsReloader) share.
#[derive(Debug, Clone)]
pub struct LiveTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One channel for both, since each connection waits for either.
    state: watch::Sender<State>,
    secret: watch::Sender<SharedSecret>,
    /// The turns of connections that verify their chains again.
    reviews: Semaphore,
    failure: LastFailure,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) tls: Arc<Tls>,
    since: Timestamp,
}

/// Which certificates and lists are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsStatus {
    /// Since when they are.
    pub since: Timestamp,
    /// The end of the server's certificate.
    pub server_not_after: Timestamp,
    /// The first end of a client CA's certificate.
    pub client_ca_not_after: Timestamp,
    /// The first `nextUpdate` of a revocation list.
    pub crl_next_update: Option<Timestamp>,
    /// Why what the files hold now is not in force; `None` where it is.
    pub last_error: Option<ReloadFailure>,
}

impl LiveTls {
    pub(super) fn new(tls: Tls) -> Self {
        let secret = watch::Sender::new(tls.secret().clone());
        let state = State { phase: Phase::Serving, tls: Arc::new(tls), since: Timestamp::now() };
        Self(Arc::new(Inner {
            state: watch::Sender::new(state),
            secret,
            reviews: Semaphore::new(1),
            failure: LastFailure::default(),
        }))
    }

    /// What the server's private key makes for other uses than TLS, as it changes.
    pub fn secret(&self) -> watch::Receiver<SharedSecret> {
        self.0.secret.subscribe()
    }

    /// Which certificates are in force, and why newer ones are not.
    pub fn status(&self) -> TlsStatus {
        let (tls, since) = {
            let state = self.0.state.borrow();
            (state.tls.clone(), state.since)
        };
        let expiry = tls.expiry();
        TlsStatus {
            since,
            server_not_after: expiry.server,
            client_ca_not_after: expiry.client_ca,
            crl_next_update: expiry.revocation_list,
            last_error: self.0.failure.get(),
        }
    }

    pub(super) fn tls(&self) -> Arc<Tls> {
        self.0.state.borrow().tls.clone()
    }

    pub(super) fn phase(&self) -> Phase {
        self.0.state.borrow().phase
    }

    /// One connection after the other verifies its chain again.
    pub(super) fn reviews(&self) -> &Semaphore {
        &self.0.reviews
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.0.state.send_modify(|state| state.phase = phase);
    }

    /// Puts `tls` in force, unless it is what is in force already; whether it is another.
    pub(super) fn replace(&self, tls: Tls) -> bool {
        self.0.failure.clear();
        let secret = tls.secret().clone();
        let replaced = self.0.state.send_if_modified(|state| {
            let other = !state.tls.is_same(&tls);
            if other {
                (state.tls, state.since) = (Arc::new(tls), Timestamp::now());
            }
            other
        });
        self.0.secret.send_if_modified(|current| std::mem::replace(current, secret.clone()) != secret);
        replaced
    }

    /// Notes why newer files are not in force; whether that is another reason than before.
    pub(super) fn fail(&self, message: &str) -> bool {
        self.0.failure.set(message)
    }
}
