//! The product as a whole, on a real control plane: a file for each behaviour.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod abandoned;
mod admission;
mod api_reads;
mod api_writes;
mod audit;
mod audit_output;
mod bad_input;
mod bounds;
mod builtins;
mod certificates;
mod cli;
mod clients;
mod configuration;
mod control_plane;
mod differential;
mod documents;
mod doors;
mod fuzz;
mod grpc_clients;
mod heads;
mod health;
mod hostile;
mod hostile_modules;
mod leadership;
mod metrics;
mod modules;
mod namespaces;
mod oracle;
mod outage;
mod permit;
mod policies;
mod policy_commands;
mod processes;
mod quiet;
mod redaction;
mod replica_target;
mod roles;
mod rotation;
mod slow_readers;
mod soak;
mod starting;
mod tls;
mod wrong_policies;
