//! The messages and services of `proto/scalegate/v1`, generated when the crate is built.

#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated: the proto is the documentation")]

/// Package `scalegate.v1`.
pub mod v1 {
    tonic::include_proto!("scalegate.v1");
}

/// How messages are written and read.
pub use prost::Message;

/// The descriptors of the package and of what it imports, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
