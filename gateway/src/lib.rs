//! scalegate: clients see and set how many replicas a Kubernetes Deployment runs, with a certificate instead of a
//! kubeconfig, under rules that the platform team writes as WebAssembly modules.
//!
//! # The way of a request
//!
//! ```text
//! client ─mTLS─▶ listener ─▶ identity ─▶ api ─▶ policy ─▶ replicas (watch cache)            a read ends here
//!                                                  └────▶ targets  (ReplicaTarget in the cluster)   a write ends here
//!                                                                     │ watch
//!                                                     reconciler (the leader) ─▶ deployments/scale ─▶ watch cache
//! ```
//!
//! # Layout
//!
//! Each module imports only modules that stand below it here, which a test checks:
//!
//! - [`cli`]: builds all others; the program's arguments, and the client.
//! - [`api`]: a request becomes an operation; one [`api::Error`] is what goes wrong.
//! - [`listener`]: TCP connections become TLS 1.3 connections with a client certificate; limits, deadlines, rotation, drain.
//! - [`targets`]: a permit becomes the write of one [`resource::ReplicaTarget`].
//! - [`policy`]: an operation by a client is permitted, as a [`policy::Permit`], or denied.
//! - [`reconciler`]: the leader drives Deployments to their targets.
//! - [`replicas`]: what the cluster holds, as the watches last told it.
//! - [`resource`]: the types of the custom resource, and its definition.
//! - [`proto`]: the messages and services of gRPC.
//! - [`workload`]: the kinds of workloads, and the name of each workload.
//! - [`admin`]: probes, metrics and the status of all parts.
//! - [`telemetry`]: the log, and the registry of metrics.
//! - [`kubernetes`]: the connection to the API server.
//! - [`config`]: arguments, file and environment become one validated [`config::Config`], or every error at once.
//! - [`audit`]: the record of every decision, and of what came of every allowed change.
//! - [`pem`]: reads certificates, keys and revocation lists from files.
//! - [`clients`]: what each client may hold at once.
//! - [`identity`]: the verified certificate becomes a [`identity::ClientIdentity`].
//! - [`lines`]: lines for an output, written by a thread from a bounded queue.
//! - [`files`]: what is loaded again when its files change.
//! - [`shutdown`]: the signal to stop, and its order.
//! - [`backoff`]: how long to wait before the next attempt.
//! - [`dns`]: names as Kubernetes checks them.
//! - [`ids`]: names for requests and decisions.
//! - [`hex`]: bytes as hexadecimal text.
//! - `ports`: TCP ports to listen on.
//! - `priority`: threads that leave the processor to requests.
//! - [`text`]: text that others wrote, cut and escaped.
//! - [`trace`]: the trace that a request belongs to.

pub mod admin;
pub mod api;
pub mod audit;
pub mod backoff;
pub mod cli;
pub mod clients;
pub mod config;
#[cfg(test)]
mod cpu;
pub mod dns;
pub mod files;
pub mod hex;
pub mod identity;
pub mod ids;
pub mod kubernetes;
#[cfg(test)]
mod layers;
pub mod lines;
pub mod listener;
pub mod pem;
pub mod policy;
mod ports;
mod priority;
pub mod proto;
pub mod reconciler;
pub mod replicas;
pub mod resource;
pub mod shutdown;
pub mod targets;
pub mod telemetry;
pub mod text;
pub mod trace;
pub mod workload;
