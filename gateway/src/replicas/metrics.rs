//! What the cache tells Prometheus.

use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::cache::Cache;
use super::contact::Watched;

/// Why a watch was started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    /// The API server closed the stream, as it does when the watch's time is over.
    Closed,
    /// The position is no longer known to the API server; everything is listed again.
    Gone,
    /// No sign of life for too long.
    Idle,
    /// The API server forbids it.
    Forbidden,
    /// A request failed or the stream broke.
    Error,
}

impl Restart {
    const ALL: [Self; 5] = [Self::Closed, Self::Gone, Self::Idle, Self::Forbidden, Self::Error];

    fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Gone => "gone",
            Self::Idle => "idle",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RestartLabels {
    resource: &'static str,
    reason: &'static str,
}

/// The cache's metrics; age and object counts are read from the cache at each scrape.
#[derive(Debug, Clone)]
pub struct ReplicasMetrics {
    restarts: Family<RestartLabels, Counter>,
    undecodable: Family<ResourceLabels, Counter>,
    cache: Arc<OnceLock<Weak<Cache>>>,
}

impl ReplicasMetrics {
    /// Adds the metrics to `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics =
            Self { restarts: Family::default(), undecodable: Family::default(), cache: Arc::new(OnceLock::new()) };
        registry.register(
            "watch_restarts",
            "Watches of the cluster that were started again, by resource and reason",
            metrics.restarts.clone(),
        );
        registry.register(
            "cache_undecodable_objects",
            "Objects that the watches could not understand and skipped",
            metrics.undecodable.clone(),
        );
        registry.register_collector(Box::new(CacheCollector(metrics.cache.clone())));
        metrics.begin();
        metrics
    }

    /// Every series from zero: one that appears with its first count has no rate at that moment.
    fn begin(&self) {
        for watched in Watched::ALL {
            drop(self.undecodable.get_or_create(&ResourceLabels { resource: watched.as_str() }));
            for reason in Restart::ALL {
                let labels = RestartLabels { resource: watched.as_str(), reason: reason.as_str() };
                drop(self.restarts.get_or_create(&labels));
            }
        }
    }

    /// Lets the scrapes read `cache`; the first one stays.
    pub(super) fn attach(&self, cache: &Arc<Cache>) {
        let _ = self.cache.set(Arc::downgrade(cache));
    }

    pub(super) fn restarted(&self, watched: Watched, reason: Restart) {
        self.restarts.get_or_create(&RestartLabels { resource: watched.as_str(), reason: reason.as_str() }).inc();
    }

    pub(super) fn undecodable(&self, watched: Watched) {
        self.undecodable.get_or_create(&ResourceLabels { resource: watched.as_str() }).inc();
    }
}

#[derive(Debug)]
struct CacheCollector(Arc<OnceLock<Weak<Cache>>>);

impl Collector for CacheCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(cache) = self.0.get().and_then(Weak::upgrade) else { return Ok(()) };
        let mut ages = encoder.encode_descriptor(
            "cache_age",
            "How old the cache is, by resource: 0 while its watch is in contact",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        let contact = cache.contact();
        for watched in Watched::ALL {
            // Where namespaces are listed, a kind is as old as its oldest watch; the log names the namespace.
            let watches = contact.watches.iter().filter(|watch| watch.watched == watched);
            let Some(age) = watches.map(|watch| watch.age).max() else { continue };
            let labels = ResourceLabels { resource: watched.as_str() };
            ConstGauge::new(age.as_secs_f64()).encode(ages.encode_family(&labels)?)?;
        }
        let mut objects =
            encoder.encode_descriptor("cache_objects", "Objects in the cache, by resource", None, MetricType::Gauge)?;
        for (watched, count) in cache.counts() {
            let labels = ResourceLabels { resource: watched.as_str() };
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(objects.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
