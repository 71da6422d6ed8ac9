//! The chart on a KIND cluster, installed by `make kind-deploy`, as people meet it.
//!
//! One test at a time: they share the installation, and each leaves it as it was.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod access;
mod cluster;
mod compilers;
mod documents;
mod kept;
mod namespaces;
mod policies;
mod under_load;
