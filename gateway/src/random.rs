//! Randomness that spreads load. Nothing secret is made of it.

use std::hash::{BuildHasher, Hasher, RandomState};

/// From 0 to 1. The standard library keys each `RandomState` anew, which is random enough to spread retries.
pub(crate) fn random_fraction() -> f64 {
    let bits = u32::try_from(RandomState::new().build_hasher().finish() >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}
