//! The development set as files, and the odd certificates that other tests ask for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where its ground is missing")]

mod development;
mod odd;
