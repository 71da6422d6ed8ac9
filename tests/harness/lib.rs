//! What the integration tests, the demo and `make dev` stand on: a real control plane, real gateways, real clients.
//!
//! - [`process`]: child processes that never outlive the harness; [`ports`], [`paths`], [`poll`] help them start.
//! - [`controlplane`] (with [`pki`], [`kubeconfig`]): etcd, the API server, controllers, and KWOK.
//! - [`proxy`]: the way to the API server, for a test to cut.
//! - [`stack`]: the product installed on a cluster.
//! - [`gateway`]: a running gateway; [`client`]: a caller with a certificate, [`grpc`]: the same caller over gRPC.
//! - [`collector`]: where a gateway sends its spans.
//! - [`tls_proxy`]: the way to a gateway for programs without a certificate.
//! - [`follow`]: callers that follow changes.
//! - [`languages`]: callers in other languages.
//! - [`load`]: steady requests, to see whether anything is felt; [`template`]: one of them.
//! - [`suite`]: one of each for a whole test run; [`fixtures`]: objects for tests, [`policies`]: their rules.
//! - [`console`]: the commands in a document, for a test to run them.
//! - [`sandbox`]: the environment of `make demo` and `make dev`.
//! - [`terminal`]: a program on a pseudo-terminal; [`recording`]: a session with the client, as a picture.

pub mod client;
pub mod collector;
pub mod console;
pub mod controlplane;
mod curl;
pub mod fixtures;
pub mod follow;
pub mod gateway;
pub mod grpc;
pub mod kubeconfig;
pub mod languages;
pub mod load;
pub mod paths;
pub mod pki;
pub mod policies;
pub mod poll;
pub mod ports;
pub mod process;
pub mod proxy;
pub mod recording;
pub mod sandbox;
pub mod stack;
pub mod suite;
pub mod template;
pub mod terminal;
pub mod tls_proxy;
