//! Follows the files of certificates, keys and revocation lists: a change is loaded beside what is in force, and takes
//! its place if it is not worse.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;

use jiff::Timestamp;
use thiserror::Error;

use super::live::LiveTls;
use super::metrics::ListenerMetrics;
use super::succession::{self, SuccessionError};
use super::tls::{Tls, TlsError};
use crate::config;
use crate::files::{Fingerprint, Follower, Outlook, Source};

/// Keeps the live certificates up with their files.
#[derive(Debug)]
pub struct TlsReloader {
    settings: config::Tls,
    pub(super) follower: Follower<Files>,
}

#[derive(Debug)]
pub(super) struct Files {
    settings: config::Tls,
    live: LiveTls,
    metrics: ListenerMetrics,
}

impl TlsReloader {
    /// Loads the files that `settings` names, which must be good at the start.
    pub fn start(settings: &config::Tls, metrics: ListenerMetrics) -> Result<(Self, LiveTls), TlsError> {
        // Taken before the files are read: what changes meanwhile is seen as a change afterwards.
        let seen = Fingerprint::of(files(settings));
        let tls = Tls::load(settings)?;
        tls.warn();
        metrics.tls_loaded(&tls.expiry());
        let live = LiveTls::new(tls);
        let source = Files { settings: settings.clone(), live: live.clone(), metrics };
        Ok((Self { settings: settings.clone(), follower: Follower::new(source, seen) }, live))
    }

    /// Looks at the files every `tls.reloadInterval` until `shutdown` is done.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        self.follower.run(self.settings.reload_interval, shutdown).await;
    }
}

fn files(settings: &config::Tls) -> Vec<PathBuf> {
    let cas = settings.client_cas.iter().map(|ca| &ca.file);
    let files = [&settings.certificate, &settings.key].into_iter().chain(cas);
    files.chain(&settings.crls).chain(&settings.denied).cloned().collect()
}

impl Source for Files {
    fn files(&self) -> Vec<PathBuf> {
        files(&self.settings)
    }

    fn load(&mut self) -> Result<(), Outlook> {
        match self.load_better() {
            Ok(tls) => {
                self.succeeded(tls);
                Ok(())
            }
            Err(error) => {
                self.failed(&error.to_string());
                // A certificate that is not valid yet becomes so, and what serves does not hold for ever.
                Err(Outlook::Timed)
            }
        }
    }

    fn panicked(&self, cause: &dyn fmt::Display) {
        self.failed(&format!("loading them failed: {cause}"));
    }
}

/// Why what serves is kept.
#[derive(Debug, Error)]
enum ReloadError {
    /// The files cannot be used.
    #[error(transparent)]
    Unusable(#[from] TlsError),
    /// What was loaded is worse than what serves.
    #[error(transparent)]
    Worse(#[from] SuccessionError),
}

impl Files {
    fn load_better(&self) -> Result<Tls, ReloadError> {
        let tls = Tls::load(&self.settings)?;
        succession::check(&self.live.tls(), &tls, Timestamp::now())?;
        Ok(tls)
    }

    fn succeeded(&self, tls: Tls) {
        let expiry = tls.expiry();
        let replaced = self.live.replace(tls);
        self.metrics.tls_loaded(&expiry);
        if replaced {
            tracing::info!(
                server_not_after = %expiry.server,
                client_ca_not_after = %expiry.client_ca,
                crl_next_update = expiry.revocation_list.map(tracing::field::display),
                "new certificates serve"
            );
            self.live.tls().warn();
        } else {
            tracing::info!("the certificates are good and as before");
        }
    }

    fn failed(&self, message: &str) {
        let unheard_of = self.live.fail(message);
        self.metrics.tls_failed();
        if unheard_of {
            tracing::warn!(error = message, "the new certificates cannot be used; the last good ones serve on");
        }
    }
}
