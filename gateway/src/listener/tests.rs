#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod certificates;
mod files;
mod handshakes;
mod lifecycle;
mod pem;
mod pki;
mod rotation;
mod server;
mod succession;
mod validity;
