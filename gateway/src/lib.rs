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
//! In the order in which a request meets them:
//!
//! - [`config`]: arguments, file and environment become one validated [`config::Config`], or every error at once.
//! - [`listener`]: TCP connections become TLS 1.3 connections with a client certificate; limits, deadlines, rotation, drain.
//! - [`identity`]: the verified certificate becomes a [`identity::ClientIdentity`].
//! - [`api`]: a request becomes an operation; one [`api::Error`] is what goes wrong.
//! - [`policy`]: an operation by a client is permitted, as a [`policy::Permit`], or denied.
//! - [`replicas`]: what the cluster holds, as the watches last told it.
//! - [`targets`]: a permit becomes the write of one [`resource::ReplicaTarget`].
//! - [`reconciler`]: the leader drives Deployments to their targets.
//! - [`resource`]: the custom resource's types and its definition; all modules may know them, and they know none.
//! - [`admin`], [`telemetry`], [`shutdown`]: probes and metrics, logs, drain.
//! - [`files`]: what is loaded again when its files change.
//! - [`cli`] builds all of these; [`kubernetes`] connects them to the API server.

pub mod admin;
pub mod api;
pub mod cli;
pub mod config;
pub mod files;
pub mod identity;
pub mod kubernetes;
pub mod listener;
pub mod policy;
mod random;
pub mod reconciler;
pub mod replicas;
pub mod resource;
pub mod shutdown;
pub mod targets;
pub mod telemetry;
